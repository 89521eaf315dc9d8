-- What would following the open advice save a month, and what would it cost?
SELECT kind, count(*) AS advice,
       round(sum(saving_monthly), 2) AS saves,
       round(sum(greatest(cost_delta_monthly, 0)), 2) AS costs
FROM recommendations
WHERE status = 'open'
GROUP BY kind
ORDER BY kind;
----
-- any
