//! What the process counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};

/// Counters by name, and of histograms how many samples came.
#[derive(Default)]
pub struct Meters(Mutex<HashMap<String, Arc<Count>>>);

#[derive(Default)]
struct Count(Arc<AtomicU64>);

/// The process's meters, which count from the first call of this on.
pub fn meters() -> &'static Meters {
    static METERS: LazyLock<Meters> = LazyLock::new(Meters::default);
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| metrics::set_global_recorder(&*METERS).unwrap());
    &METERS
}

impl Meters {
    pub fn count(&self, name: &str) -> u64 {
        self.of(name).0.load(Ordering::Acquire)
    }

    /// Waits until there are so many.
    pub async fn wait_for(&self, name: &str, count: u64) {
        let arrived = async {
            while self.count(name) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrived)
            .await
            .unwrap_or_else(|_| panic!("{count} of {name}, there are {}", self.count(name)));
    }

    fn of(&self, name: &str) -> Arc<Count> {
        let mut counts = self.0.lock().unwrap();
        counts.entry(name.to_owned()).or_default().clone()
    }
}

impl HistogramFn for Count {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

impl Recorder for Meters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key.name()).0.clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key.name()))
    }
}
