namespace NormFree.Runs

open System
open System.IO
open NormFree.Formats

/// <summary>Keeps other processes from working on a run's folder: <c>run.lock</c>, which holds this process's number.</summary>
/// <remarks>Dispose it to free the folder.</remarks>
[<Sealed>]
type internal RunLock private (file: FileLock, folder: RunFolder, madeFolder: bool) =

    /// <summary>Locks a folder, which is made if it is not there, and removes what a killed process has left half-written in it.</summary>
    /// <remarks>Throws TrainingException, which names the process, where another one works on it; IOException or UnauthorizedAccessException
    /// where the folder cannot be written to.</remarks>
    static member Take(folder: RunFolder) =
        let made = not (Directory.Exists folder.Path)
        let path = Path.Combine((RunFolder.at folder.Path).Path, "run.lock")

        match FileLock.TryTake(path, $"process {Environment.ProcessId} on {Environment.MachineName}") with
        | null, holder ->
            let who = if holder = "" then "another process" else holder

            raise (
                TrainingException
                    $"{folder.Path}: {who} works on this run. Wait for its end, stop it, or choose another folder."
            )
        | file, _ ->
            let held = new RunLock(file, folder, made)

            try
                for place in List.filter Directory.Exists [ folder.Path; folder.Telemetry ] do
                    AtomicFile.RemoveLeftovers place

                held
            with _ ->
                (held :> IDisposable).Dispose()
                reraise ()

    interface IDisposable with
        /// A folder that was made for nothing goes as well.
        member _.Dispose() =
            file.Dispose()

            try
                if madeFolder && Seq.isEmpty (Directory.EnumerateFileSystemEntries folder.Path) then
                    Directory.Delete folder.Path
            with
            | :? IOException
            | :? UnauthorizedAccessException -> ()
