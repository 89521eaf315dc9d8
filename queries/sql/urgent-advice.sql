-- Which open advice is about something that will go wrong, not only about money?
SELECT severity, kind, title, reason
FROM recommendations
WHERE status = 'open' AND severity <> 'info'
ORDER BY severity, kind, target;
----
-- any
