//! A daemon that serves some plugins, and a browser that looks at its page.

use bulkhead_tests::daemon::Daemon;
use bulkhead_tests::fixtures::{fixture, workspace};
use bulkhead_tests::folder::Folder;

use crate::browser::Browser;

/// A page of a daemon that serves some plugins.
pub(crate) struct Scene {
    pub(crate) browser: Browser,
    pub(crate) daemon: Daemon,
}

impl Scene {
    /// Nothing, aloud, where there is no browser.
    pub(crate) fn of(packages: &[&str]) -> Option<Self> {
        let folder = packages.iter().fold(Folder::new(), |folder, package| {
            folder.with(&fixture(package))
        });
        Self::in_folder(&folder, "")
    }

    pub(crate) fn in_folder(folder: &Folder, config: &str) -> Option<Self> {
        let browser = Browser::start()?;
        let daemon = Daemon::start(folder, config);
        Some(Self { browser, daemon })
    }

    pub(crate) fn url(&self, route: &str) -> String {
        format!("http://{}/#/{route}", self.daemon.address())
    }

    pub(crate) fn open(&self, route: &str) -> &Browser {
        self.browser.open(&self.url(route));
        &self.browser
    }

    /// Chooses a picture, and waits until it is read.
    pub(crate) fn choose(&self, picture: &str) {
        let path = workspace().join("tests/pictures").join(picture);
        self.browser.fill("#picture", path.to_str().unwrap());
        self.browser.until_text(".drop [role=status]", picture);
    }
}
