-- At which hour of the day (UTC) is each service busiest, and how much busier than on average?
WITH steps AS (
  SELECT service, ts, value, lag(value) OVER (PARTITION BY service, code, method, instance ORDER BY ts) AS before
  FROM metrics.http_requests_total
),
hours AS (
  SELECT service, date_part('hour', ts) AS hour_of_day,
         sum(CASE WHEN value < before THEN value ELSE value - before END) / count(DISTINCT date_trunc('hour', ts)) AS requests
  FROM steps
  WHERE before IS NOT NULL
  GROUP BY service, date_part('hour', ts)
)
SELECT service,
       first_value(hour_of_day ORDER BY requests DESC) AS busiest_hour,
       round(max(requests) / avg(requests), 2) AS times_the_average
FROM hours
GROUP BY service
ORDER BY service;
----
-- any
