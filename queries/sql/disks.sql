-- How full is the disk of each database, and how large is it?
SELECT size.instance,
       CAST(round(100 * (1 - last_value(avail.value ORDER BY avail.ts) / last_value(size.value ORDER BY size.ts))) AS int) AS used_percent,
       CAST(last_value(size.value ORDER BY size.ts) / 1073741824 AS int) AS size_gib
FROM metrics.node_filesystem_size_bytes AS size
JOIN metrics.node_filesystem_avail_bytes AS avail
  ON avail.instance = size.instance AND avail.mountpoint = size.mountpoint AND avail.ts = size.ts
WHERE size.instance LIKE 'db-%'
GROUP BY size.instance
ORDER BY size.instance;
----
-- db-0:9100,71,500
-- db-1:9100,55,250
