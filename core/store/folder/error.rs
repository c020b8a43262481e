//! What is wrong with a run's folder, and what to do about it.

use super::super::{artifact::WriteError, record::RECORD_SCHEMA};

/// What is wrong with a run folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Something could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It holds what another run made.
    #[error(
        "{path} holds results of a run that differs from this one:\n  {differences}\nStart in another folder, or have them \
         replaced: what still fits is kept, the rest made again, and earlier results stay until the new ones are all there{replaced}"
    )]
    Changed {
        /// The folder.
        path: String,
        /// What differs, line by line.
        differences: String,
        /// What would be replaced, in words, if that can be told.
        replaced: String,
    },
    /// The record of what is in the folder cannot be read.
    #[error("{path} is damaged: {why}. Remove the folder, or start in another one")]
    Record {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Another run uses it.
    #[error("another run is at work in {0}. Wait for it, or start in another folder")]
    Busy(String),
    /// An artifact that was made by another version of the layout.
    #[error("{path} was written with layout {found}, this program uses {RECORD_SCHEMA}; start in another folder")]
    Schema {
        /// The file.
        path: String,
        /// The layout's version.
        found: u32,
    },
    /// A file where a run would write its own, in a folder that no run has been in.
    #[error(
        "{path} exists and was not written by a run: this run would replace it. Move it away, or start in another folder"
    )]
    Foreign {
        /// The file.
        path: String,
    },
    /// A link or a pipe where a run has its own files.
    #[error(
        "{path} is {what}, which a run does not write through or read. Put a plain file or folder there, move it away, or start in \
         another folder"
    )]
    NotPlain {
        /// Where.
        path: String,
        /// What is there, in words.
        what: &'static str,
    },
    /// A config that differs from the one that the results were made from.
    #[error(
        "{0} was edited: it is not what the run whose results are there wrote. Put it back, or move it elsewhere and give it to \
         another run, in another folder"
    )]
    Edited(String),
    /// Earlier results that no longer exist.
    #[error("{0} is gone: somebody removed it while the run was at work. The same command makes it again")]
    Gone(String),
}
