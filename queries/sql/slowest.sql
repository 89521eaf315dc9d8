-- How slow were the slowest 1 % of each service's requests at worst in the last day, and when was that?
-- The standing query `request-latency` keeps these percentiles while samples arrive.
SELECT service,
       round(max(value) * 1000) AS p99_ms,
       first_value(ts ORDER BY value DESC) AS at
FROM metrics.foretide_stream_quantile
WHERE stream = 'request-latency' AND quantile = '0.99' AND ts > now() - INTERVAL '1 day'
GROUP BY service
ORDER BY p99_ms DESC, service;
----
-- any
