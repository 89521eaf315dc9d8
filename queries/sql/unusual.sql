-- What was found unusual, newest first?
SELECT start, "end", kind, stream, series, round(score, 2) AS score, message
FROM anomalies
ORDER BY start DESC
LIMIT 20;
----
-- any or none
