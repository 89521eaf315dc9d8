-- How much of the CPU that a workload reserves does it use, over the last day?
-- Growth between two samples of one pod by the time between them; a falling counter (a restart) is left out.
WITH steps AS (
  SELECT container, ts, value - lag(value) OVER run AS seconds,
         date_part('epoch', ts) - date_part('epoch', lag(ts) OVER run) AS span
  FROM metrics.container_cpu_usage_seconds_total
  WINDOW run AS (PARTITION BY container, pod ORDER BY ts)
),
newest AS (SELECT max(ts) AS ts FROM metrics.container_cpu_usage_seconds_total),
used AS (
  SELECT container, sum(seconds) / sum(span) AS cores
  FROM steps CROSS JOIN newest
  WHERE seconds >= 0 AND steps.ts > newest.ts - INTERVAL '1 day'
  GROUP BY container
),
reserved AS (
  SELECT container, avg(value) AS cores
  FROM metrics.kube_pod_container_resource_requests
  WHERE resource = 'cpu'
  GROUP BY container
)
SELECT container AS workload, round(reserved.cores, 2) AS reserved_cores, round(used.cores, 2) AS used_cores,
       CAST(round(100 * used.cores / reserved.cores) AS int) AS used_percent
FROM used JOIN reserved USING (container)
ORDER BY used_percent, workload;
----
-- emails,1.0,0.08,8
-- recommendations,2.0,0.15,8
-- auth,1.0,0.09,9
-- reports,2.0,0.24,12
-- cache,0.5,0.2,40
-- cart,0.6,0.24,40
-- payments,0.8,0.36,45
-- catalog,1.0,0.49,49
-- frontend,1.5,0.91,60
-- checkout,0.8,0.61,77
-- search,0.4,0.85,212
