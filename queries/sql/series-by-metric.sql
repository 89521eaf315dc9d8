-- Which metrics have the most series?
SELECT metric, count(*) AS series
FROM series
GROUP BY metric
ORDER BY series DESC, metric
LIMIT 10;
----
-- any
