use super::*;
use crate::{Context, Error, Request};

#[derive(PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Way {
    Answer,
    Fail,
    Panic,
    Cancel,
    Nan,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Options {
    way: Way,
    #[serde(default)]
    #[schemars(range(max = 9))]
    level: u8,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Report {
    length: usize,
    greeting: String,
    has_time: bool,
    score: f64,
}

#[derive(serde::Deserialize)]
struct Settings {
    greeting: String,
}

struct Subject(Settings);

impl Plugin for Subject {
    type Settings = Settings;
    type Options = Options;
    type Output = Report;

    fn new(settings: Settings) -> Result<Self, Error> {
        Ok(Self(settings))
    }

    fn run(&self, request: &Request, options: Options, context: &Context) -> Result<Report, Error> {
        match options.way {
            Way::Answer | Way::Nan => {}
            Way::Fail => return Err(Error::invalid_input("no").with_detail("at", 3)),
            Way::Panic => panic!("kaboom"),
            Way::Cancel => {
                for tenth in 0..10_u8 {
                    context.progress(f32::from(tenth) / 10.0);
                    context.check_cancelled()?;
                }
            }
        }
        context.progress(2.0);
        context.log(Level::Warn, format_args!("{} bytes", request.image().len()));
        context.attach("a.txt", "text/plain", b"beside".to_vec());
        let has_time = context
            .remaining()
            .is_some_and(|left| left > Duration::ZERO);
        let (length, greeting) = (request.image().len(), self.0.greeting.clone());
        Ok(Report {
            length,
            greeting,
            has_time,
            score: if options.way == Way::Nan {
                f64::NAN
            } else {
                f64::from(options.level)
            },
        })
    }
}

fn call(way: &str) -> Call<'static> {
    Call::new(b"GIF89a", "image/gif")
        .options(json!({ "way": way }))
        .settings(json!({ "greeting": "hello" }))
}

#[test]
fn an_answer_comes_with_all_that_was_told() {
    let answer = call("answer")
        .remaining(Duration::from_secs(60))
        .run::<Subject>()
        .unwrap();
    assert_eq!(
        answer.output,
        json!({"length": 6, "greeting": "hello", "has_time": true, "score": 0.0})
    );
    assert_eq!(answer.log, [(Level::Warn, "6 bytes".to_owned())]);
    assert_eq!(answer.progress, [1.0], "what lies outside is clamped");
    assert_eq!(answer.attachments[0].data, b"beside");
    let shown = format!("{:?}", answer.attachments[0]);
    assert!(shown.ends_with("data: 6 bytes }"), "{shown}");
}

#[track_caller]
fn check(call: &Call, expected: &str) {
    let failure = call.run::<Subject>().unwrap_err();
    assert_eq!(failure.to_string(), expected);
}

#[test]
fn every_failure_says_whose_fault_it_is() {
    check(&call("fail"), "invalid_input: no");
    check(&call("cancel").cancelled(), "cancelled: cancelled");
    check(
        &call("answer").settings(json!({})),
        "invalid_settings: missing field `greeting` at line 1 column 2",
    );
}

#[test]
fn a_panic_tells_its_place_and_details_keep_their_types() {
    let panic = call("panic").run::<Subject>().unwrap_err();
    assert_eq!(
        (panic.kind, panic.message.as_str()),
        (Kind::Panicked, "kaboom")
    );
    assert!(panic.location.contains("tests.rs:"), "{}", panic.location);
    let failure = call("fail").run::<Subject>().unwrap_err();
    assert_eq!(failure.details, json!({"at": 3}));
}

#[test]
fn a_cancel_comes_in_mid_run() {
    check(&call("cancel").cancelled_at(0.0), "cancelled: cancelled");
    check(&call("cancel").cancelled_at(0.5), "cancelled: cancelled");
    assert!(call("cancel").cancelled_at(1.0).run::<Subject>().is_ok());
}

#[test]
fn what_breaks_a_schema_is_refused_with_its_place() {
    let mut options = json!({"way": "answer", "level": 10});
    let failure = call("")
        .options(options.clone())
        .run::<Subject>()
        .unwrap_err();
    let reason = "10 is greater than the maximum of 9";
    assert_eq!(failure.kind, Kind::InvalidOptions);
    assert_eq!(failure.message, format!("`/level`: {reason}"));
    let violations = json!({"violations": [{"path": "/level", "reason": reason}]});
    assert_eq!(failure.details, violations);

    options["level"] = json!(9);
    assert!(call("").options(options).run::<Subject>().is_ok());
    check(
        &call("nan"),
        r#"invalid_output: `/score`: null is not of type "number""#,
    );
}

#[test]
fn output_that_is_no_object_is_refused() {
    struct List;
    impl Plugin for List {
        type Settings = ();
        type Options = crate::NoOptions;
        type Output = Vec<u8>;

        fn new(_: ()) -> Result<Self, Error> {
            Ok(Self)
        }

        fn run(&self, _: &Request, _: crate::NoOptions, _: &Context) -> Result<Vec<u8>, Error> {
            Ok(vec![1, 2])
        }
    }
    let failure = Call::new(b"GIF", "image/gif").run::<List>().unwrap_err();
    assert_eq!(
        failure.to_string(),
        "invalid_output: the output is no JSON object: [1,2]"
    );
}

#[test]
fn a_manifest_has_the_schemas() {
    let manifest = manifest::<Subject>();
    let level = &manifest.options_schema["properties"]["level"];
    assert_eq!(
        (&level["maximum"], &level["default"]),
        (&json!(9), &json!(0))
    );
    assert!(manifest.output_schema["properties"]["score"].is_object());
}
