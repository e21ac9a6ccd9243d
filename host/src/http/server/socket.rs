//! A Unix socket that is listened on, and its file: there as long as it is listened on, and no longer.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::listeners::ListenError;

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A socket whose file is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Which file it is: another host may have put its own there since.
    file: (u64, u64),
}

impl Socket {
    /// Listens at `path`, for whom `mode` lets in.
    pub(super) async fn bind(path: &Path, mode: u32) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Socket {
            path: path.to_owned(),
            source,
        };
        make_room(path).await?;
        let socket = UnixSocket::new_stream().map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        let bound = fs::symlink_metadata(path).and_then(|file| {
            // Nobody gets in before it listens: the mode is there in time.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
            let listener = socket.listen(BACKLOG)?;
            Ok(Self {
                listener,
                path: path.to_owned(),
                file: (file.dev(), file.ino()),
            })
        });
        bound.map_err(|error| {
            // It is ours, and of no use.
            let _ = fs::remove_file(path);
            failed(error)
        })
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.file) {
            // Without it the next start finds a socket that nobody listens on, and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on, and nothing else.
async fn make_room(path: &Path) -> Result<(), ListenError> {
    let failed = |source| ListenError::Socket {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ListenError::SocketInUse(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        // Whoever listens has no room for one more, and is there all the same.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(ListenError::SocketInUse(path.to_owned()))
        }
        Err(error) => Err(failed(error)),
    }
}
