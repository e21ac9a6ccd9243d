//! The `bulkhead` binary as a daemon under test, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::tls::TlsConfig;
use ureq::typestate::WithBody;
use ureq::{Agent, Body, RequestBuilder};

use crate::folder::Folder;
use crate::openmetrics::Metrics;
use crate::process::Process;
use crate::{cli, fixtures, wait};

/// The smallest thing that passes for an image.
pub const IMAGE: &[u8] = b"an image, for all that the host can tell";

/// The most bytes of an answer that are read.
const MOST: u64 = 256 << 20;

/// A daemon, ended with its drop.
pub struct Daemon {
    process: Child,
    scheme: String,
    address: SocketAddr,
    agent: Agent,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    // There for as long as the daemon runs.
    folder: Folder,
}

impl Daemon {
    /// Starts a daemon for the plugins of `folder`, with this configuration, and waits until it is
    /// ready.
    pub fn start(folder: &Folder, config: &str) -> Self {
        Self::start_with(folder, config, &[])
    }

    /// The same, with more in its environment.
    pub fn start_with(folder: &Folder, config: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_by(cli::command(), folder, config, environment)
    }

    /// The same, on another address.
    pub fn start_at(folder: &Folder, listen: &str, config: &str) -> Self {
        let launched = Self::launch_at(cli::command(), folder, listen, config, &[]);
        let mut daemon = launched.unwrap_or_else(|it| panic!("{}: it said {}", it.ended, it.said));
        assert!(daemon.until_ready(), "the daemon ended before it was ready");
        daemon
    }

    /// The same, started by another program, which becomes the daemon: with `setpriv`, say.
    pub fn start_behind(folder: &Folder, config: &str, starter: &[&str]) -> Self {
        Self::start_by(cli::command_behind(starter), folder, config, &[])
    }

    /// Starts the build that ends at named places, as the environment says; nothing where it was killed before it was
    /// ready.
    ///
    /// # Panics
    /// When it has ended before for any other reason.
    pub fn start_failing(
        folder: &Folder,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Option<Self> {
        let command = cli::command_of(&fixtures::failpoints(), &[]);
        match Self::launch(command, folder, config, environment) {
            Ok(mut daemon) => {
                let is_ready = daemon.until_ready();
                assert!(is_ready || daemon.has_been_killed(), "it ended by itself");
                is_ready.then_some(daemon)
            }
            Err(NotStarted { ended, said }) => {
                assert!(ended.code().is_none(), "{ended}: it said {said}");
                None
            }
        }
    }

    fn start_by(
        command: Command,
        folder: &Folder,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let launched = Self::launch(command, folder, config, environment);
        let mut daemon = launched.unwrap_or_else(|it| panic!("{}: it said {}", it.ended, it.said));
        assert!(daemon.until_ready(), "the daemon ended before it was ready");
        daemon
    }

    /// Whether it is ready, once it is or has ended.
    fn until_ready(&mut self) -> bool {
        wait::until("the daemon to be ready", || {
            if self.process.try_wait().unwrap().is_some() {
                return Some(false);
            }
            // Read to its end, so that the connection is there for what comes next.
            let ready = self.try_get("/readyz").ok()?;
            (ready.status == 200).then_some(true)
        })
    }

    /// Starts a daemon; what it said instead of where it listens, where it does not.
    fn launch(
        command: Command,
        folder: &Folder,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self, NotStarted> {
        Self::launch_at(command, folder, "127.0.0.1:0", config, environment)
    }

    fn launch_at(
        mut command: Command,
        folder: &Folder,
        listen: &str,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Result<Self, NotStarted> {
        let file = folder.beside("bulkhead.toml");
        std::fs::write(&file, config).unwrap();
        let mut process = command
            .arg("serve")
            .args(["--listen", listen, "--plugins"])
            .arg(folder.path())
            .arg("--state")
            .arg(folder.beside("state"))
            .arg("--config")
            .arg(file)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stderr, reader) = collect(process.stderr.take().expect("it is piped"));
        let stdout = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let place = line.trim().strip_prefix("listening on ");
        let place = place.and_then(|url| url.split_once("://"));
        let place = place.and_then(|(scheme, it)| Some((scheme.to_owned(), it.parse().ok()?)));
        let Some((scheme, address)) = place else {
            if !line.is_empty() {
                let _ = process.kill();
            }
            let ended = process.wait().unwrap();
            let _ = reader.join();
            let said = format!("{line:?}, and {:?}", read(&stderr));
            return Err(NotStarted { ended, said });
        };
        Ok(Self {
            process,
            scheme,
            address,
            agent: agent(),
            stderr,
            reader: Some(reader),
            folder: folder.clone(),
        })
    }

    /// Sends an image as the body itself.
    pub fn post_raw(&self, plugin: &str, mime_type: &str, image: &[u8], options: &Value) -> Answer {
        Answer::of(self.request(plugin, mime_type, options).send(image))
    }

    /// Calls a plugin with some image and these options.
    pub fn call(&self, plugin: &str, options: &Value) -> Answer {
        self.post_raw(plugin, "image/x-any", IMAGE, options)
    }

    /// Calls a plugin and looks at nothing but the status: for answers by the megabyte.
    pub fn call_unread(&self, plugin: &str, options: &Value) -> u16 {
        let request = self.request(plugin, "image/x-any", options);
        let mut response = request.send(IMAGE).unwrap();
        let body = response.body_mut().as_reader();
        std::io::copy(&mut body.take(MOST), &mut std::io::sink()).unwrap();
        response.status().as_u16()
    }

    /// Calls a plugin that is to answer within so many milliseconds.
    pub fn call_within(&self, plugin: &str, options: &Value, millis: u32) -> Answer {
        let request = self.request(plugin, "image/x-any", options);
        let request = request.header("x-deadline-ms", millis.to_string());
        Answer::of(request.send(IMAGE))
    }

    /// Lifts what keeps a plugin from being called.
    pub fn enable(&self, plugin: &str) -> Answer {
        self.act(plugin, "enable")
    }

    /// Does to a plugin what an operator can: `enable`, `disable`, `reload`, `rollback`.
    pub fn act(&self, plugin: &str, action: &str) -> Answer {
        let path = format!("/v1/plugins/{plugin}/{action}");
        Answer::of(self.agent.post(self.url(&path)).send_empty())
    }

    /// Sends an image as a file of a form.
    pub fn post_form(
        &self,
        plugin: &str,
        mime_type: &str,
        image: &[u8],
        options: &Value,
    ) -> Answer {
        const BOUNDARY: &str = "a-boundary-that-no-picture-has";
        let text = |name: &str, value: &str| {
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        let mut body = text("plugin", plugin) + &text("options", &options.to_string());
        body += &format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"it\"\r\n\
             Content-Type: {mime_type}\r\n\r\n"
        );
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let body = [body.as_bytes(), image, end.as_bytes()].concat();
        let form = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = self
            .agent
            .post(self.url("/v1/analyze"))
            .header("content-type", form);
        Answer::of(request.send(&body[..]))
    }

    /// Calls whichever plugin is called when none is named.
    pub fn call_default(&self) -> Answer {
        let request = self.agent.post(self.url("/v1/analyze"));
        Answer::of(request.header("content-type", "image/x-any").send(IMAGE))
    }

    /// Sends a JSON body.
    pub fn post_json(&self, body: &Value) -> Answer {
        self.post_json_to("/v1/analyze", body)
    }

    /// Sends a JSON document to any route.
    pub fn post_json_to(&self, path: &str, body: &Value) -> Answer {
        Answer::of(self.agent.post(self.url(path)).send_json(body))
    }

    /// A request of who has this token.
    pub fn request_as<'a>(&'a self, token: &'a str, verb: &'a str, path: &str) -> Request<'a> {
        Request {
            agent: &self.agent,
            token,
            verb,
            url: self.url(path),
        }
    }

    /// Looks something up.
    pub fn get(&self, path: &str) -> Answer {
        Answer::of(self.agent.get(self.url(path)).call())
    }

    /// A text, asked for in one of these types.
    pub fn text(&self, path: &str, accept: &str) -> Text {
        let asked = self.agent.get(self.url(path)).header("accept", accept);
        let mut response = asked.call().unwrap();
        let content_type = response.headers().get("content-type");
        let content_type = content_type.map(|value| value.to_str().unwrap().to_owned());
        Text {
            status: response.status().as_u16(),
            content_type: content_type.unwrap_or_default(),
            text: response.body_mut().read_to_string().unwrap(),
        }
    }

    /// What it counts.
    pub fn metrics(&self) -> Metrics {
        let told = self.text("/metrics", "application/openmetrics-text");
        assert_eq!(told.status, 200, "{}", told.text);
        Metrics::parse(&told.text).unwrap_or_else(|it| panic!("{it}, of\n{}", told.text))
    }

    /// Sends a call with these headers besides.
    pub fn call_with(&self, plugin: &str, options: &Value, headers: &[(&str, &str)]) -> Answer {
        let request = self.request(plugin, "image/x-any", options);
        let add = |request: RequestBuilder<WithBody>, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        Answer::of(headers.iter().fold(request, add).send(IMAGE))
    }

    /// Its lines of the log, those that are JSON.
    pub fn lines(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().map(serde_json::from_str);
        lines.filter_map(Result::ok).collect()
    }

    /// The first line of the log that is so, once it is there.
    pub fn line(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait::until(&format!("the log to tell of {what}"), || {
            self.lines().into_iter().find(&is_it)
        })
    }

    /// What there is to know of a plugin.
    pub fn plugin(&self, name: &str) -> Value {
        let answer = self.get(&format!("/v1/plugins/{name}"));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Waits until a plugin's status has this value in this field.
    pub fn wait_for(&self, plugin: &str, field: &str, value: impl Into<Value>) {
        let value = value.into();
        wait::until(&format!("{field} of {plugin} to be {value}"), || {
            (self.plugin(plugin)[field] == value).then_some(())
        });
    }

    /// Has it read another configuration, as an operator does.
    pub fn configure(&self, config: &str) {
        std::fs::write(self.folder.beside("bulkhead.toml"), config).unwrap();
        self.process().signal(Signal::HUP);
    }

    /// All plugins and refused files.
    pub fn items(&self) -> Vec<Value> {
        let items = &self.get("/v1/plugins").body["items"];
        items.as_array().cloned().unwrap_or_default()
    }

    /// Why a file is not served, if so.
    pub fn refusal(&self, file: &str) -> Option<String> {
        let items = self.items();
        let mut items = items.iter();
        let item = items.find(|it| it["file"] == file && it["lifecycle"] == "REJECTED");
        item?["reason"].as_str().map(str::to_owned)
    }

    /// Waits until a file is refused for a reason that begins so.
    pub fn wait_for_refusal(&self, file: &str, reason: &str) {
        wait::until(&format!("{file} to be refused: {reason}"), || {
            let told = self.refusal(file)?;
            told.starts_with(reason).then_some(())
        });
    }

    /// Asks it to stop, as an init system does.
    pub fn terminate(&self) {
        self.process().signal(Signal::TERM);
    }

    /// The same; an error where it went away before it answered.
    ///
    /// # Errors
    /// What happened to the connection.
    pub fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        let sent = self.agent.get(self.url(path)).call();
        sent.and_then(Answer::try_of)
    }

    /// Whether a signal has ended it, or does within a moment.
    pub fn has_been_killed(&mut self) -> bool {
        let ended = (0..500).find_map(|_| {
            let ended = self.process.try_wait().unwrap();
            if ended.is_none() {
                thread::sleep(Duration::from_millis(10));
            }
            ended
        });
        ended.is_some_and(|status| status.code().is_none())
    }

    /// Ends it at once, as nobody should.
    pub fn kill(&mut self) {
        self.process().signal(Signal::KILL);
        self.process.wait().unwrap();
    }

    /// Ends it at once, if it has not ended.
    pub fn end(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            self.kill();
        }
    }

    /// Its process.
    pub fn process(&self) -> Process {
        Process(i32::try_from(self.process.id()).expect("ids of processes are that small"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for its end, and gives its exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        let status = wait::until("the daemon to end", || self.process.try_wait().unwrap());
        status.code()
    }

    /// Sends a call, and gives its client, which may hang up: nobody reads the answer.
    pub fn begin(&self, plugin: &str, way: &str) -> TcpStream {
        let mut client = self.connect();
        let head = format!(
            "POST /v1/analyze?plugin={plugin}&options=%7B%22way%22%3A%22{way}%22%7D HTTP/1.1\r\n\
             Host: localhost\r\nContent-Type: image/x-any\r\nContent-Length: {}\r\n\r\n",
            IMAGE.len()
        );
        client
            .write_all(&[head.as_bytes(), IMAGE].concat())
            .unwrap();
        client
    }

    /// A connection of its own.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// The bytes of memory that are its own.
    pub fn resident(&self) -> u64 {
        self.process().resident()
    }

    /// What it has said on stderr.
    pub fn log(&self) -> String {
        read(&self.stderr)
    }

    fn request(&self, plugin: &str, mime_type: &str, options: &Value) -> RequestBuilder<WithBody> {
        self.agent
            .post(self.url("/v1/analyze"))
            .query("plugin", plugin)
            .query("options", options.to_string())
            .header("content-type", mime_type)
    }

    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }
}

/// A request of somebody with a token.
pub struct Request<'a> {
    agent: &'a Agent,
    token: &'a str,
    verb: &'a str,
    url: String,
}

impl Request<'_> {
    /// The answer to it, with more headers and this body.
    pub fn send(self, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let request = ureq::http::Request::builder()
            .method(self.verb)
            .uri(self.url)
            .header("authorization", format!("Bearer {}", self.token));
        let add = |request: ureq::http::request::Builder, (name, value): &(&str, &str)| {
            request.header(*name, *value)
        };
        let request = headers.iter().fold(request, add);
        if self.verb != "POST" {
            return Answer::of(self.agent.run(request.body(()).unwrap()));
        }
        Answer::of(self.agent.run(request.body(body).unwrap()))
    }
}

/// A daemon that has ended without a word of where it listens.
struct NotStarted {
    ended: ExitStatus,
    said: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already; then both are no-ops.
        let _ = self.process.kill();
        let ended = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!("the daemon ended with {ended:?} and said:\n{}", self.log());
        }
    }
}

/// What came back, where it is no JSON.
#[derive(Clone, Debug)]
pub struct Text {
    /// The status.
    pub status: u16,
    /// Its type.
    pub content_type: String,
    /// The body.
    pub text: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null where it is no JSON.
    pub body: Value,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn of(response: Result<Response<Body>, ureq::Error>) -> Self {
        response.and_then(Self::try_of).unwrap()
    }

    pub(crate) fn try_of(mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let headers = response.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        });
        let headers = headers.collect();
        let body = response.body_mut().with_config().limit(MOST);
        let body = body.read_to_vec()?;
        Ok(Self {
            status: response.status().as_u16(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            headers,
        })
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(found, _)| found == name);
        header.map(|(_, value)| value.as_str())
    }

    /// What the plugin gave.
    pub fn result(&self) -> &Value {
        assert_eq!(self.status, 200, "{}", self.body);
        &self.body["result"]
    }

    /// The part of the envelope that says exactly what.
    pub fn details(&self) -> &Value {
        &self.body["error"]["details"]
    }

    /// `STATUS TYPE code: message`, or `200`: what a test compares.
    pub fn brief(&self) -> String {
        let error = &self.body["error"];
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        if error.is_null() {
            return self.status.to_string();
        }
        let code = text(&error["details"]["code"]);
        format!(
            "{} {} {code}: {}",
            self.status,
            text(&error["type"]),
            text(&error["message"])
        )
    }

    /// `details.reason`: why a plugin is not to be had.
    pub fn reason(&self) -> &str {
        self.details()["reason"].as_str().unwrap_or_default()
    }
}

/// Options that name a way to go wrong.
pub fn way(way: &str) -> Value {
    json!({ "way": way })
}

fn agent() -> Agent {
    // Tests of TLS look at certificates themselves.
    let tls = TlsConfig::builder().disable_verification(true).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build();
    config.into()
}

fn collect(mut stderr: impl Read + Send + 'static) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&text);
    let reader = thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = stderr.read(&mut buffer) {
            let part = String::from_utf8_lossy(&buffer[..read]);
            sink.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&part);
        }
    });
    (text, reader)
}

fn read(text: &Mutex<String>) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
