//! Spans through the OpenTelemetry crates: to the provider of the program, or over OTLP/HTTP to a collector.
//!
//! The context that is current when an event begins is the parent. Export has a thread and a bounded queue of its own:
//! a collector that is slow, dead or wrong costs spans, never a call. The variables `OTEL_…` are read by those crates.
// SPDX-License-Identifier: MIT OR Apache-2.0

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::global::BoxedTracer;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value, global};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider};

use super::spans::{Attribute, Span, TOOL_CALL, of, of_call};
use super::{Observer, Opening, Step, Telemetry, Traces, Watcher};

/// The name of the instrumentation scope, and of the service where `OTEL_SERVICE_NAME` gives none.
const NAME: &str = "placet";

/// The path of traces under a collector's address.
const TRACES_PATH: &str = "v1/traces";

/// How long one export may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise; the specification's default.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer of a collector that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The exporter cannot be built, for instance because of an address.
    #[error(
        "spans cannot be exported: {0}; correct `telemetry.otlp_endpoint` or the variables `OTEL_EXPORTER_OTLP_…`"
    )]
    Exporter(#[from] ExporterBuildError),
}

/// Makes spans of what it sees.
pub struct Spans<T> {
    tracer: Arc<T>,
}

impl Spans<BoxedTracer> {
    /// Into the provider that the program has set up with `opentelemetry::global`.
    #[must_use]
    pub fn of_program() -> Self {
        Self { tracer: Arc::new(global::tracer(NAME)) }
    }
}

impl Spans<SdkTracer> {
    /// Into a given provider.
    #[must_use]
    pub fn into_provider(provider: &SdkTracerProvider) -> Self {
        Self { tracer: Arc::new(provider.tracer(NAME)) }
    }
}

/// What the configuration asks for: the observers of a pipeline, and the export that must live as long as they.
///
/// # Errors
/// [`TelemetryError`] when the collector's address cannot be used.
pub fn of_settings(settings: &Telemetry) -> Result<(Vec<Arc<dyn Observer>>, Option<Export>), TelemetryError> {
    Ok(match settings.traces {
        Traces::Off => (Vec::new(), None),
        Traces::Provider => (vec![Arc::new(Spans::of_program())], None),
        Traces::Otlp => match Export::open(settings.otlp_endpoint.as_deref())? {
            Some(export) => (vec![Arc::new(export.spans())], Some(export)),
            None => (Vec::new(), None),
        },
    })
}

/// Exports spans over OTLP/HTTP until it is dropped, which sends what is left.
pub struct Export {
    provider: SdkTracerProvider,
}

impl Export {
    /// To a collector: the one at `endpoint`, else the one that the variables `OTEL_EXPORTER_OTLP_…` name. `None` when
    /// `OTEL_SDK_DISABLED` is `true`.
    ///
    /// # Errors
    /// [`TelemetryError`] when an address cannot be used. A collector that does not answer is no error.
    pub fn open(endpoint: Option<&str>) -> Result<Option<Self>, TelemetryError> {
        let variable = |name: &str| std::env::var(name).ok();
        if variable("OTEL_SDK_DISABLED").is_some_and(|word| word.trim().eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let millis = variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .or_else(|| variable("OTEL_EXPORTER_OTLP_TIMEOUT"))
            .and_then(|millis| millis.trim().parse().ok());
        let timeout = millis.map_or(EXPORT_TIMEOUT, Duration::from_millis);
        let mut builder =
            SpanExporter::builder().with_http().with_http_client(Client::new(timeout)).with_timeout(timeout);
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(format!("{}/{TRACES_PATH}", endpoint.trim_end_matches('/')));
        }
        let exporter = builder.build()?;
        let processor = BatchSpanProcessor::builder(exporter).build();
        let provider =
            SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource()).build();
        Ok(Some(Self { provider }))
    }

    /// What makes spans for it.
    #[must_use]
    pub fn spans(&self) -> Spans<SdkTracer> {
        Spans::into_provider(&self.provider)
    }

    /// Sends what is finished; false when that failed.
    #[must_use]
    pub fn flush(&self) -> bool {
        self.provider.force_flush().is_ok()
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        // What cannot be sent is lost; nobody is to hear of it any more.
        let _ = self.provider.shutdown();
    }
}

fn resource() -> Resource {
    let resource = Resource::builder().build();
    let named = resource.get(&"service.name".into());
    match named {
        Some(name) if !name.as_str().starts_with("unknown_service") => resource,
        _ => Resource::builder().with_service_name(NAME).build(),
    }
}

/// The HTTP client that we have anyway; it runs on the exporter's thread and may block there.
#[derive(Debug)]
struct Client(ureq::Agent);

impl Client {
    fn new(timeout: Duration) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let answer = self.0.run(Request::from_parts(parts, &*body))?;
        let (parts, mut body) = answer.into_parts();
        let body = body.with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}

impl<T> Observer for Spans<T>
where
    T: Tracer + Send + Sync + 'static,
    T::Span: Send + Sync + 'static,
{
    fn opens(&self, opening: &Opening<'_>) -> Arc<dyn Watcher> {
        let current = Context::current();
        let context = match (opening.acts, opening.tool) {
            (true, Some(tool)) => {
                let attributes = of_call(tool).iter().map(key_value).collect::<Vec<_>>();
                let builder = self
                    .tracer
                    .span_builder(TOOL_CALL)
                    .with_kind(SpanKind::Internal)
                    .with_attributes(attributes);
                let span = self.tracer.build_with_context(builder, &current);
                current.with_span(span)
            }
            _ => current,
        };
        let opened = opening.acts && opening.tool.is_some();
        Arc::new(OneEvent { tracer: self.tracer.clone(), context, opened })
    }
}

/// The spans of one event, under what was current when it began.
struct OneEvent<T> {
    tracer: Arc<T>,
    context: Context,
    /// Whether the context's span is ours, and to be ended.
    opened: bool,
}

impl<T> Watcher for OneEvent<T>
where
    T: Tracer + Send + Sync + 'static,
    T::Span: Send + Sync + 'static,
{
    fn saw(&self, step: &Step<'_>) {
        for span in of(step) {
            emit(&*self.tracer, span, &self.context);
        }
    }
}

impl<T> Drop for OneEvent<T> {
    fn drop(&mut self) {
        if self.opened {
            self.context.span().end();
        }
    }
}

fn emit<T>(tracer: &T, span: Span, parent: &Context)
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    let builder = tracer
        .span_builder(span.name)
        .with_kind(SpanKind::Internal)
        .with_start_time(span.began)
        .with_attributes(span.attributes.iter().map(key_value).collect::<Vec<_>>());
    let mut made = tracer.build_with_context(builder, parent);
    if let Some(error) = span.error {
        made.set_attribute(KeyValue::new("error.type", error));
        made.set_status(Status::error(""));
    }
    let ended = span.ended;
    let context = parent.with_span(made);
    for child in span.children {
        emit(tracer, child, &context);
    }
    context.span().end_with_timestamp(ended);
}

fn key_value((key, value): &(&'static str, Attribute)) -> KeyValue {
    let value = match value {
        Attribute::Text(text) => Value::String(text.clone().into()),
        Attribute::Texts(texts) => Value::Array(Array::String(
            texts.iter().map(|text| StringValue::from(text.clone())).collect::<Vec<_>>(),
        )),
        Attribute::Count(count) => Value::I64(*count),
        Attribute::Number(number) => Value::F64(*number),
        Attribute::Flag(flag) => Value::Bool(*flag),
    };
    KeyValue::new(*key, value)
}
