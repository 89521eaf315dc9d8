//! What names mean: `metrics."name"`, `samples`, `histograms`, `series`, roll-ups, and the application's tables. Nothing else can be reached.

use std::fmt;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use series::{METRIC_NAME, Matcher, Resolution, Select, TimeRange};

use crate::histogram_table::HistogramTable;
use crate::metric_table::MetricTable;
use crate::rollup_table::RollupTable;
use crate::series_table::SeriesTable;
use crate::system::{SystemRows, SystemTableProvider};

/// Name of the one catalog.
pub(crate) const CATALOG: &str = "foretide";
/// Schema of unqualified names.
pub(crate) const MAIN: &str = "public";
/// Schema of the metrics' tables.
pub(crate) const METRICS: &str = "metrics";
/// Metric that forecasts are written as, shown as table `forecasts` as well.
const FORECASTS: &str = "foretide_forecast";
const FORECAST_LABELS: [&str; 4] = ["job", "model", "origin", "quantile"];

/// What the catalog is made from.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) select: Arc<dyn Select>,
    pub(crate) system: Arc<dyn SystemRows>,
    pub(crate) series_max: usize,
}

impl Sources {
    fn labels_of(&self, metric: &str) -> Result<Vec<String>> {
        let selector = vec![Matcher::equal(METRIC_NAME, metric)];
        let found = self.select.label_names(&[selector], TimeRange::ALL, 0);
        found.map_err(|err| DataFusionError::Execution(err.to_string()))
    }

    fn metric_table(&self, metric: &str, labels: &[String]) -> Arc<dyn TableProvider> {
        Arc::new(MetricTable::metric(Arc::clone(&self.select), metric, labels, self.series_max))
    }
}

/// The one catalog with its two schemas.
pub(crate) struct Catalog {
    main: Arc<MainSchema>,
    metrics: Arc<MetricsSchema>,
}

impl Catalog {
    pub(crate) fn new(sources: Sources) -> Self {
        Self { main: Arc::new(MainSchema(sources.clone())), metrics: Arc::new(MetricsSchema(sources)) }
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Catalog")
    }
}

impl CatalogProvider for Catalog {
    fn schema_names(&self) -> Vec<String> {
        vec![MAIN.into(), METRICS.into()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            MAIN => Some(Arc::clone(&self.main) as Arc<dyn SchemaProvider>),
            METRICS => Some(Arc::clone(&self.metrics) as Arc<dyn SchemaProvider>),
            _ => None,
        }
    }
}

struct MetricsSchema(Sources);

impl fmt::Debug for MetricsSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetricsSchema")
    }
}

#[async_trait::async_trait]
impl SchemaProvider for MetricsSchema {
    fn table_names(&self) -> Vec<String> {
        // The trait has no error; an unreadable index shows as an empty list here and as an error on the next query.
        self.0.select.label_values(METRIC_NAME, &[], TimeRange::ALL, 0).unwrap_or_default()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let labels = self.0.labels_of(name)?;
        Ok((!labels.is_empty()).then(|| self.0.metric_table(name, &labels)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.labels_of(name).is_ok_and(|labels| !labels.is_empty())
    }
}

struct MainSchema(Sources);

impl fmt::Debug for MainSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MainSchema")
    }
}

#[async_trait::async_trait]
impl SchemaProvider for MainSchema {
    fn table_names(&self) -> Vec<String> {
        let rollups = Resolution::ALL.into_iter().map(Resolution::table);
        let own = ["samples", "histograms", "series", "forecasts"].into_iter().chain(rollups).map(str::to_owned);
        own.chain(self.0.system.tables().iter().map(|table| table.name.to_owned())).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let sources = &self.0;
        Ok(match name {
            "samples" => Some(Arc::new(MetricTable::samples(Arc::clone(&sources.select), sources.series_max))),
            "histograms" => Some(Arc::new(HistogramTable::new(Arc::clone(&sources.select), sources.series_max))),
            "series" => Some(Arc::new(SeriesTable::new(Arc::clone(&sources.select)))),
            "forecasts" => Some(self.forecasts()?),
            _ => self.rollup_table(name).or_else(|| self.system_table(name)),
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        self.table_names().iter().any(|known| known == name)
    }
}

impl MainSchema {
    /// There before the first forecast, so that a dashboard made early does not fail.
    fn forecasts(&self) -> Result<Arc<dyn TableProvider>> {
        let mut labels: Vec<String> = FORECAST_LABELS.map(str::to_owned).into();
        labels.extend(self.0.labels_of(FORECASTS)?);
        let mut seen = std::collections::HashSet::new();
        labels.retain(|label| seen.insert(label.clone()));
        Ok(self.0.metric_table(FORECASTS, &labels))
    }

    fn rollup_table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let resolution = Resolution::ALL.into_iter().find(|resolution| resolution.table() == name)?;
        let select = Arc::clone(&self.0.select);
        Some(Arc::new(RollupTable::new(select, resolution, self.0.series_max)))
    }

    fn system_table(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        let table = *self.0.system.tables().iter().find(|table| table.name == name)?;
        Some(Arc::new(SystemTableProvider::new(table, Arc::clone(&self.0.system))))
    }
}
