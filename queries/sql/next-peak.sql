-- When does checkout peak in its newest forecast: expected (0.5), and in nine cases of ten at most (0.9)?
SELECT quantile, first_value(ts ORDER BY value DESC) AS at, round(max(value)) AS requests_per_second
FROM forecasts
WHERE job = 'checkout' AND quantile IN ('0.5', '0.9')
  AND origin = (SELECT max(origin) FROM forecasts WHERE job = 'checkout')
GROUP BY quantile
ORDER BY quantile;
----
-- any
