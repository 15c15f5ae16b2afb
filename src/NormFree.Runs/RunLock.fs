namespace NormFree.Runs

open System
open System.IO
open NormFree.Formats

/// <summary>Locks a run folder against other processes with <c>run.lock</c>, which contains the owner's process number.</summary>
/// <remarks>Dispose it to unlock the folder.</remarks>
[<Sealed>]
type internal RunLock private (file: FileLock, folder: RunFolder, madeFolder: bool) =

    /// <summary>Locks a folder, which is created if it does not exist, and removes the temporary files that a killed process left in it.</summary>
    /// <remarks>Throws TrainingException, naming the owner, if another process works on the run; IOException or UnauthorizedAccessException if the
    /// folder cannot be written.</remarks>
    static member Take(folder: RunFolder) =
        let made = not (Directory.Exists folder.Path)
        let path = Path.Combine((RunFolder.at folder.Path).Path, "run.lock")

        match FileLock.TryTake(path, $"process {Environment.ProcessId} on {Environment.MachineName}") with
        | null, holder ->
            let who = if holder = "" then "another process" else holder

            raise (
                TrainingException
                    $"{folder.Path}: {who} is working on this run. Wait until it ends, stop it, or choose another folder."
            )
        | file, _ ->
            let held = new RunLock(file, folder, made)

            try
                AtomicFile.RemoveLeftovers folder.Path
                RunLock.RemoveTelemetryLeftovers folder
                held
            with _ ->
                (held :> IDisposable).Dispose()
                reraise ()

    /// Telemetry that cannot be written or deleted ends no training.
    static member private RemoveTelemetryLeftovers(folder: RunFolder) =
        try
            if Directory.Exists folder.Telemetry then
                AtomicFile.RemoveLeftovers folder.Telemetry
        with
        | :? IOException
        | :? UnauthorizedAccessException -> ()

    interface IDisposable with
        /// Also removes a folder that was created for the lock and is still empty.
        member _.Dispose() =
            file.Dispose()

            try
                if madeFolder && Seq.isEmpty (Directory.EnumerateFileSystemEntries folder.Path) then
                    Directory.Delete folder.Path
            with
            | :? IOException
            | :? UnauthorizedAccessException -> ()
