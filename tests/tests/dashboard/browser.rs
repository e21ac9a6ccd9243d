//! A browser without a window, led by its driver: what a person would do, and what only a browser knows of a page.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{InputSource, KeyAction, KeyActions};
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Long enough for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// Nothing that asks anybody but the page's own host, nothing that a first start shows.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
];

/// A browser, ended with its drop.
pub(crate) struct Browser {
    driver: Child,
    url: String,
    client: Client,
    runtime: Runtime,
    _profile: TempDir,
}

impl Browser {
    /// A new browser with an empty profile; `None`, aloud, where there is none to be had.
    pub(crate) fn start() -> Option<Self> {
        if std::env::var("BULKHEAD_TEST_BROWSER").is_ok_and(|it| it == "skip") {
            eprintln!("SKIPPED: there is no browser here (BULKHEAD_TEST_BROWSER=skip)");
            return None;
        }
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (Debian: chromium-driver), or BULKHEAD_TEST_BROWSER=skip");
        let port = port(&mut driver);
        let url = format!("http://127.0.0.1:{port}");
        let profile = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(profile.path()));
        let client = runtime.block_on(builder.connect(&url)).unwrap();
        let browser = Self {
            driver,
            url,
            client,
            runtime,
            _profile: profile,
        };
        browser.leave_own_page();
        Some(browser)
    }

    /// A browser begins with a page of its own, which asks whom it likes.
    fn leave_own_page(&self) {
        let left = self.client.goto("about:blank");
        self.runtime.block_on(left).unwrap();
        self.requests();
    }

    /// Opens a page, and waits until it has begun.
    pub(crate) fn open(&self, url: &str) {
        self.go(url);
        self.until("document.documentElement.dataset.ready === 'yes'");
    }

    /// Opens a page.
    pub(crate) fn go(&self, url: &str) {
        self.lead(|| self.client.goto(url));
    }

    /// What an expression of the page's language comes to.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.lead(|| self.client.execute(&script, Vec::new()))
    }

    /// Waits until an expression holds, and gives what it came to.
    pub(crate) fn until(&self, expression: &str) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let found = self.eval(expression);
            if !matches!(found, Value::Null | Value::Bool(false)) && found != 0 && found != "" {
                return found;
            }
            if Instant::now() > end {
                let page = self.eval("document.body.innerText");
                panic!("waited {LIMIT:?} for {expression}; the page says {page}");
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the page, or a part of it, has this text somewhere.
    pub(crate) fn until_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!(
            "[...document.querySelectorAll({selector})].some((it) => it.innerText.replace(/\\s+/g, ' ').includes({text}))"
        ));
    }

    /// Presses what is found first.
    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.lead(|| element.click());
    }

    /// Types into what is found first, or chooses a file by its path.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.lead(|| element.send_keys(text));
    }

    /// Takes the text out of a field, and types another.
    pub(crate) fn refill(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.lead(|| element.clear());
        self.fill(selector, text);
    }

    /// Presses a key, whatever has the focus.
    pub(crate) fn press(&self, key: Key) {
        self.type_here(&char::from(key).to_string());
    }

    /// Types, whatever has the focus.
    pub(crate) fn type_here(&self, text: &str) {
        let strokes = text
            .chars()
            .fold(KeyActions::new("keys".into()), |strokes, value| {
                let pressed = strokes.then(KeyAction::Down { value });
                pressed.then(KeyAction::Up { value })
            });
        let typed = self.client.perform_actions(strokes);
        self.runtime.block_on(typed).unwrap();
    }

    /// What a screen reader is given to say: each thing's role and name.
    pub(crate) fn spoken(&self) -> Vec<String> {
        let tree = self.command("Accessibility.getFullAXTree", &json!({}));
        let all = tree["nodes"].as_array().cloned().unwrap_or_default();
        let spoken = all.iter().filter(|it| it["ignored"] == false).map(|it| {
            let text = |part: &str| it[part]["value"].as_str().unwrap_or_default().to_owned();
            format!("{} {}", text("role"), text("name"))
        });
        spoken.collect()
    }

    /// Goes on with the tabulator until the element with the focus has this text.
    pub(crate) fn tab_to(&self, text: &str) {
        let mut seen = Vec::new();
        for _ in 0..100 {
            self.press(Key::Tab);
            let found = self.focused();
            if found == text {
                return;
            }
            seen.push(found);
        }
        panic!("no way by tabulator to {text:?}: {seen:?}");
    }

    /// The text of the element that has the focus.
    pub(crate) fn focused(&self) -> String {
        let text = self.eval("document.activeElement.innerText.trim()");
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What the page has said on its console, and what the browser had against it.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.log("browser");
        let messages = entries.iter().filter_map(|it| it["message"].as_str());
        messages.map(str::to_owned).collect()
    }

    /// Every address that was asked for since the last look.
    pub(crate) fn requests(&self) -> Vec<String> {
        let entries = self.log("performance");
        let requests = entries.iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &message["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str()?;
            is_request.then(|| url.to_owned())
        });
        requests.collect()
    }

    /// Tells the browser something in its own protocol.
    pub(crate) fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": name, "params": parameters }),
        )
    }

    /// A dark system, or a light one.
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.command(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    /// A screen of this width.
    pub(crate) fn narrow(&self, width: u32) {
        let screen =
            json!({ "width": width, "height": 780, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Has the driver do something; once more where it hung up on a connection just when that was to be used again.
    fn lead<T, F: Future<Output = Result<T, CmdError>>>(&self, order: impl Fn() -> F) -> T {
        let mut done = self.runtime.block_on(order());
        if let Err(CmdError::FailedC(_)) = done {
            done = self.runtime.block_on(order());
        }
        done.unwrap()
    }

    fn find(&self, selector: &str) -> fantoccini::elements::Element {
        self.lead(|| {
            let waited = self.client.wait().at_most(LIMIT);
            waited.for_element(Locator::Css(selector))
        })
    }

    fn log(&self, name: &str) -> Vec<Value> {
        let entries = self.post("se/log", &json!({ "type": name }));
        entries.as_array().cloned().unwrap_or_default()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let session = self.runtime.block_on(self.client.session_id()).unwrap();
        let session = session.expect("it has begun");
        let url = format!("{}/session/{session}/{path}", self.url);
        let mut answer = ureq::post(&url).send_json(body).unwrap();
        let mut answer: Value = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_json()
            .unwrap();
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may be gone already; then both are no-ops.
        let _ = self.runtime.block_on(self.client.clone().close());
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn port(driver: &mut Child) -> u16 {
    let stdout = driver.stdout.take().expect("it is piped");
    let lines = BufReader::new(stdout).lines();
    let mut ports = lines.map_while(Result::ok).filter_map(|line| {
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    });
    ports.next().expect("the driver says where it listens")
}

fn capabilities(profile: &Path) -> Capabilities {
    let profile = format!("--user-data-dir={}", profile.display());
    let flags: Vec<_> = FLAGS.into_iter().chain([profile.as_str()]).collect();
    let capabilities = json!({
        "goog:chromeOptions": { "args": flags },
        "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
    });
    serde_json::from_value(capabilities).unwrap()
}
