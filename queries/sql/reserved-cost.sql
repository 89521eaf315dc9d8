-- What does it cost a month to go on reserving what each workload reserves now?
-- Prices of the demo: 0.031 USD a core and hour, 0.004 USD a GiB and hour; a month has 730 hours.
WITH reserved AS (
  SELECT container, resource, sum(value) AS amount
  FROM metrics.kube_pod_container_resource_requests
  WHERE ts = (SELECT max(ts) FROM metrics.kube_pod_container_resource_requests)
  GROUP BY container, resource
)
SELECT container AS workload,
       round(730 * sum(CASE resource WHEN 'cpu' THEN amount * 0.031 ELSE amount / 1073741824 * 0.004 END), 2) AS usd_month
FROM reserved
GROUP BY container
ORDER BY usd_month DESC, workload;
----
-- checkout,139.5
-- frontend,119.36
-- recommendations,96.0
-- payments,60.88
-- reports,56.94
-- search,53.73
-- auth,51.1
-- catalog,48.18
-- cart,28.62
-- cache,27.38
-- emails,25.55
