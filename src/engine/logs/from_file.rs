//! A log in a file: one that a tool fills while the job runs, or the one that has come home.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use htc_core::log::HEAD;
use htc_core::workload::names::JobKey;
use htc_core::workload::progress::JobId;
use tokio::time::sleep_until;

use super::LogError;
use super::mirror::Mirror;
use super::reader::{Passage, Reader, Stop};
use super::tail::tail_start;
use crate::limits::LOG_PIECE;

impl Reader<'_> {
    /// First what the log has now, whose last lines can be counted; then what is added. Once the container
    /// has ended, once more what the log has: however long the tool is waited for, that is all of it.
    pub(super) async fn by_tool(&mut self, key: &JobKey, id: JobId) -> Result<Passage, Stop> {
        let name = self.file_name(self.wanted.options.previous);
        let settles = self.settles(key);
        if let Some(settles) = settles {
            sleep_until(settles).await;
            let mirror = self.inner.snapshot(id, &name)?;
            let passage = self.through(&mirror, key, id, true).await?;
            if passage == Passage::Whole {
                self.close().await?;
                // Until the job ends, or starts again.
                self.change().await;
                return Ok(Passage::Moved);
            }
            return Ok(passage);
        }
        if self.at.is_none() || !self.wanted.options.follow {
            let mirror = self.inner.snapshot(id, &name)?;
            return self.through(&mirror, key, id, true).await;
        }
        let mirror = self.inner.follow(key, id, &name)?;
        self.through(&mirror, key, id, false).await
    }

    fn file_name(&self, previous: bool) -> String {
        format!("log.{}{}", self.wanted.container, if previous { ".prev" } else { "" })
    }

    /// Reads a mirror as long as the log is with this job and there is no better way to it.
    async fn through(
        &mut self,
        mirror: &Mirror,
        key: &JobKey,
        id: JobId,
        when_whole: bool,
    ) -> Result<Passage, Stop> {
        let inner = self.inner.clone();
        let mut grown = mirror.grown();
        loop {
            let arrived = inner.polls.arrived.notified();
            let now = grown.borrow_and_update().clone();
            if !when_whole || matches!(now.end, Some(Ok(()))) {
                let start = self.newest_start(key);
                if self.start == start && self.is_another(&mirror.file, now.bytes).await? {
                    self.rest_before(id).await?;
                }
                self.take(&mirror.file, now.bytes).await?;
                if now.bytes >= HEAD as u64 {
                    self.start = start;
                }
            }
            match now.end {
                Some(Ok(())) => return Ok(Passage::Whole),
                Some(Err(why)) => return Ok(Passage::Failed(why)),
                None => {}
            }
            let is_over = !when_whole && self.settles(key).is_some();
            if is_over || !self.is_with(key)? || self.is_asking(key) {
                return Ok(Passage::Moved);
            }
            tokio::select! {
                more = grown.changed() => if more.is_err() {
                    return Ok(Passage::Failed("the reader of condor_tail has ended".to_owned()));
                },
                () = self.change() => {}
                () = arrived => {}
            }
        }
    }

    /// The log was begun anew within a start of the job: what it had before may be in the file before.
    async fn rest_before(&mut self, id: JobId) -> Result<(), Stop> {
        if self.wanted.options.previous {
            return Ok(());
        }
        let mirror = self.inner.snapshot(id, &self.file_name(true))?;
        let mut grown = mirror.grown();
        let whole = grown.wait_for(|grown| grown.end.is_some()).await.map(|grown| grown.clone());
        match whole {
            Ok(whole) if whole.end == Some(Ok(())) => self.finish_with(&mirror.file, whole.bytes).await,
            // It is told as a log that begins anew.
            _ => Ok(()),
        }
    }

    /// Reads the rest of the file that was read until now, if this is it. The next file follows.
    async fn finish_with(&mut self, file: &Arc<File>, bytes: u64) -> Result<(), Stop> {
        if bytes > 0 && !self.is_another(file, bytes).await? {
            self.take(file, bytes).await?;
            (self.at, self.head) = (Some(0), Vec::new());
        }
        Ok(())
    }

    /// Reads what has come home, to its end.
    pub(super) async fn at_home(&mut self, folder: &Path) -> Result<(), Stop> {
        let previous = self.wanted.options.previous;
        let path = folder.join(self.file_name(previous));
        let file = match File::open(&path) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let (index, why) = (self.wanted.index, format!("{} is not there any more", path.display()));
                return Err(LogError::NoFiles { index, why }.into());
            }
            other => Arc::new(other?),
        };
        let bytes = file.metadata()?.len();
        // One that was begun anew at the very end may have nothing yet.
        let is_another = bytes == 0 || self.is_another(&file, bytes).await?;
        if is_another
            && !previous
            && !self.head.is_empty()
            && let Ok(before) = File::open(folder.join(self.file_name(true)))
        {
            let bytes = before.metadata()?.len();
            self.finish_with(&Arc::new(before), bytes).await?;
        }
        self.take(&file, bytes).await?;
        let mut rest = Vec::new();
        self.printer.end(&mut rest);
        self.send(rest).await
    }

    /// Whether this is not the file that was read until now, as far as can be seen.
    async fn is_another(&self, file: &Arc<File>, bytes: u64) -> io::Result<bool> {
        let head = self.read(file, 0, bytes.min(HEAD as u64)).await?;
        let common = head.len().min(self.head.len());
        Ok(head[..common] != self.head[..common])
    }

    /// Goes on in a file that has so many bytes of the log, from its first on.
    async fn take(&mut self, file: &Arc<File>, bytes: u64) -> Result<(), Stop> {
        if self.is_another(file, bytes).await? {
            self.begin_anew().await?;
        }
        let head = self.read(file, 0, bytes.min(HEAD as u64)).await?;
        if head.len() > self.head.len() {
            self.head = head;
        }
        let mut at = match (self.at, self.wanted.options.tail) {
            (Some(at), _) => at,
            (None, None) => 0,
            (None, Some(lines)) => {
                let file = file.clone();
                blocking(move || tail_start(&file, bytes, lines)).await?
            }
        };
        self.at = Some(at);
        while at < bytes {
            let piece = self.read(file, at, bytes - at).await?;
            self.print(&piece).await?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// At most [`LOG_PIECE`] bytes.
    async fn read(&self, file: &Arc<File>, at: u64, count: u64) -> io::Result<Vec<u8>> {
        let file = file.clone();
        let size = usize::try_from(count).unwrap_or(LOG_PIECE).min(LOG_PIECE);
        blocking(move || {
            let mut piece = vec![0; size];
            file.read_exact_at(&mut piece, at)?;
            Ok(piece)
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
