//! The two lanes that a plugin's code can run in: what a caller sees of it is the same, but where a
//! test says otherwise.

/// Where plugins' code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// In workers: what the host does unless it is told otherwise.
    Process,
    /// In the daemon itself.
    InProcess,
}

impl Lane {
    /// A configuration for this lane, with more keys from the top.
    pub fn config(self, more: &str) -> String {
        match self {
            Self::Process => more.to_owned(),
            Self::InProcess => format!("plugins.defaults.lane = \"in-process\"\n{more}"),
        }
    }
}

/// Makes two tests of each function: `NAME::process` and `NAME::in_process`.
#[macro_export]
macro_rules! on_each_lane {
    ($($check:ident),+ $(,)?) => {$(
        mod $check {
            use $crate::lanes::Lane;

            #[test]
            fn process() {
                super::$check(Lane::Process);
            }

            #[test]
            fn in_process() {
                super::$check(Lane::InProcess);
            }
        }
    )+};
}
