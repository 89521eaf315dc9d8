-- Which services answer requests?
SELECT DISTINCT service
FROM metrics.http_requests_total
ORDER BY service;
----
-- auth
-- cart
-- catalog
-- checkout
-- frontend
-- payments
-- recommendations
-- search
