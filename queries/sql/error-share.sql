-- Which percentage of its requests did each service fail in the last day?
-- Counters grow from sample to sample; after a restart they begin again from zero.
WITH steps AS (
  SELECT service, code, ts, value, lag(value) OVER (PARTITION BY service, code, method, instance ORDER BY ts) AS before
  FROM metrics.http_requests_total
),
growth AS (
  SELECT service, code, CASE WHEN value < before THEN value ELSE value - before END AS requests
  FROM steps
  WHERE before IS NOT NULL AND ts > (SELECT max(ts) FROM metrics.http_requests_total) - INTERVAL '1 day'
)
SELECT service,
       round(100 * sum(CASE WHEN code LIKE '5%' THEN requests ELSE 0 END) / sum(requests), 2) AS failed_percent,
       round(sum(requests) / 86400, 1) AS requests_per_second
FROM growth
GROUP BY service
ORDER BY failed_percent DESC, service;
----
-- payments,0.12,768.6
-- recommendations,0.1,1126.5
-- checkout,0.09,2453.2
-- search,0.08,2162.0
-- frontend,0.06,4747.4
-- cart,0.05,1082.0
-- catalog,0.04,3055.7
-- auth,0.03,459.9
