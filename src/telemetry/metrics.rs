//! The metrics: what each is called, which labels it has, and what it means. [`super::signals`] moves them.
//!
//! Labels only take values from bounded sets: names of adapters, playbooks and actions, and words of our own.

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Every metric of one program.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each has its help text in `Metrics::new`")]
pub struct Metrics {
    registry: Registry,
    pub alerts_received: IntCounterVec,
    pub alerts_duplicate: IntCounter,
    pub alerts_quarantined: IntCounterVec,
    pub matches: IntCounterVec,
    pub runs: IntCounterVec,
    pub rollbacks: IntCounterVec,
    pub steps: IntCounterVec,
    pub action_duration: HistogramVec,
    pub alert_to_decision: Histogram,
    pub alert_to_action: Histogram,
    pub runs_in_progress: IntGauge,
    pub indeterminate_runs: IntGauge,
    pub actions_stopped: IntGauge,
    pub approvals_pending: IntGauge,
    pub approvals_opened: IntCounterVec,
    pub approvals_closed: IntCounterVec,
    pub guardrail_holds: IntCounterVec,
    pub bus_connected: IntGauge,
    pub bus_queue_depth: IntGauge,
    pub poll_last_success: GaugeVec,
    pub poll_lag: GaugeVec,
    pub reconciled: IntCounterVec,
    pub feed_connected: GaugeVec,
    pub webhook_requests: IntCounterVec,
    pub store_commit: Histogram,
    pub playbook_errors: IntCounterVec,
    pub messages: IntCounterVec,
    pub events: IntCounterVec,
    pub outbox_waiting: GaugeVec,
    pub playbooks_loaded: IntGauge,
    pub playbooks_refused: IntGauge,
    pub playbooks_since: Gauge,
    pub playbook_reload_ok: IntGauge,
    pub playbook_reloads: IntCounterVec,
    pub build_info: GaugeVec,
    pub process_start: Gauge,
}

/// From a fast local commit to a request that runs into its time limit.
const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// From a live alert to one that waited for the broker, a retry or a person.
const DELAYS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0];

impl Metrics {
    /// Registers every metric under the prefix `quell_`.
    ///
    /// # Errors
    /// Two metrics have the same name, which a test rules out.
    #[expect(clippy::too_many_lines, reason = "a list, with a line for each metric")]
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("quell".to_owned()), None)?;
        let make = Maker(&registry);
        Ok(Self {
            alerts_received: make.counters("alerts_received_total", "Alerts taken from the bus, repeats included", &["source"])?,
            alerts_duplicate: make.counter("alerts_duplicate_total", "Alerts that were known already")?,
            alerts_quarantined: make.counters(
                "alerts_quarantined_total",
                "Messages that are not alerts and were set aside",
                &["reason"],
            )?,
            matches: make.counters("matches_total", "Alerts that matched a playbook", &["playbook"])?,
            runs: make.counters("runs_total", "Runs that ended", &["playbook", "outcome"])?,
            rollbacks: make.counters(
                "rollbacks_total",
                "Runs that were taken up again to undo what they did, and ended",
                &["playbook", "outcome"],
            )?,
            steps: make.counters("steps_total", "Steps that ended", &["action", "outcome"])?,
            action_duration: make.histograms("action_duration_seconds", "How long an attempt at an action took", &["action"])?,
            alert_to_decision: make.histogram(
                "alert_to_decision_seconds",
                "From the receipt of an alert to the decision what to do",
                DELAYS,
            )?,
            alert_to_action: make.histogram(
                "alert_to_action_seconds",
                "From the receipt of an alert to its first change in the world",
                DELAYS,
            )?,
            runs_in_progress: make.gauge("runs_in_progress", "Runs that have not ended")?,
            indeterminate_runs: make
                .gauge("indeterminate_runs", "Runs that wait for a person because nobody knows whether a step happened")?,
            actions_stopped: make
                .gauge("actions_stopped", "Whether nothing is changed: by the kill switch, or because the journal was restored")?,
            approvals_pending: make.gauge("approvals_pending", "Questions that wait for people")?,
            approvals_opened: make.counters("approvals_opened_total", "Questions that people were asked", &["playbook"])?,
            approvals_closed: make.counters(
                "approvals_closed_total",
                "Questions that were approved, rejected or ran out of time; those that became void are not counted",
                &["outcome"],
            )?,
            guardrail_holds: make.counters("guardrail_holds_total", "Steps that a guardrail held back", &["rule"])?,
            bus_connected: make.gauge("bus_connected", "Whether alerts are being consumed from the bus")?,
            bus_queue_depth: make.gauge("bus_queue_depth", "Messages on the bus, where that is known")?,
            poll_last_success: make.gauges("poll_last_success_timestamp_seconds", "When a poll last succeeded", &["adapter"])?,
            poll_lag: make.gauges(
                "poll_lag_seconds",
                "How long ago the oldest alert was detected that a poll brought when it last brought any",
                &["adapter"],
            )?,
            reconciled: make.counters(
                "reconciled_total",
                "Alerts that the activity log told of and nothing else had brought; more than 0 means that callbacks get lost",
                &["adapter"],
            )?,
            feed_connected: make.gauges("feed_connected", "Whether messages are received from another program's broker", &["adapter"])?,
            webhook_requests: make.counters("webhook_requests_total", "Webhook requests by answer", &["adapter", "code"])?,
            store_commit: make.histogram("store_commit_seconds", "How long a commit of the store took", SECONDS)?,
            playbook_errors: make.counters(
                "playbook_errors_total",
                "Alerts, and times of schedules, on which a playbook's expression failed",
                &["playbook"],
            )?,
            messages: make.counters("messages_total", "Messages to people: sent, failed (tried again), given_up", &["kind", "outcome"])?,
            events: make.counters("events_total", "Events announced: sent, failed (tried again), given_up", &["outcome"])?,
            outbox_waiting: make.gauges("outbox_waiting", "Messages and events that are due and not delivered", &["to"])?,
            playbooks_loaded: make.gauge("playbooks_loaded", "Playbooks in use")?,
            playbooks_refused: make.gauge("playbooks_refused", "Files among the playbooks that cannot be used as they are now")?,
            playbooks_since: make.plain_gauge("playbooks_since_timestamp_seconds", "When the playbooks in use were loaded")?,
            playbook_reload_ok: make.gauge("playbook_reload_ok", "Whether the playbooks in use are those in the folder, all of them")?,
            playbook_reloads: make.counters(
                "playbook_reloads_total",
                "How often the changed folder of playbooks was read",
                &["outcome"],
            )?,
            build_info: make.gauges("build_info", "1, with the version as a label", &["version"])?,
            process_start: make.plain_gauge("process_start_time_seconds", "When the program was started")?,
            registry,
        })
    }

    /// All metrics in the text format of Prometheus.
    ///
    /// # Errors
    /// A metric cannot be written as text.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: Result<M, prometheus::Error>,
    ) -> Result<M, prometheus::Error> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help))
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help))
    }

    fn plain_gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        self.register(Gauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_own_name_and_the_prefix() {
        let metrics = Metrics::new().unwrap();
        metrics.alerts_received.with_label_values(&["graph"]).inc();
        let text = String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text.contains("quell_alerts_received_total{source=\"graph\"} 1"), "{text}");
        assert!(text.lines().filter(|line| !line.starts_with('#')).all(|line| line.starts_with("quell_")));
    }
}
