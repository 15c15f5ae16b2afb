namespace NormFree.Training

open System
open System.IO
open System.Text
open NormFree.Formats

/// <summary>Keeps other processes from working on a run's folder: <c>run.lock</c>, which holds this process's number.</summary>
/// <remarks>
/// The lock is the operating system's (flock), so that it ends with its process however that ends; the file alone means nothing.
/// Dispose it to free the folder.
/// </remarks>
[<Sealed>]
type internal RunLock private (stream: FileStream, folder: RunFolder, madeFolder: bool) =

    static let fileOf (folder: RunFolder) = Path.Combine(folder.Path, "run.lock")

    /// Linux's and macOS's numbers for a file that is locked, and Windows' for one that is in use.
    static let isLocked (error: IOException) = List.contains error.HResult [ 11; 35; 0x80070020 ]

    static let read path =
        use stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite ||| FileShare.Delete)
        use reader = new StreamReader(stream)
        reader.ReadToEnd().Trim()

    static let refuse (folder: RunFolder) =
        let holder =
            try
                $"process {read (fileOf folder)}"
            with :? IOException ->
                "another process"

        raise (
            TrainingException
                $"{folder.Path}: {holder} works on this run. Wait for its end, stop it, or choose another folder."
        )

    static let openFile folder =
        try
            new FileStream(fileOf folder, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None)
        with :? IOException as error when isLocked error ->
            refuse folder

    /// Whether the file that we have locked is the one of that name: its last holder may have removed it between our opening and locking it.
    static let isCurrent folder (mark: string) =
        try
            File.Exists(fileOf folder) && read (fileOf folder) = mark
        with :? IOException ->
            false

    static let rec take folder made =
        let stream = openFile folder
        let mark = $"{Environment.ProcessId} on {Environment.MachineName}"
        stream.SetLength 0L
        stream.Write(ReadOnlySpan(Encoding.UTF8.GetBytes mark))
        stream.Flush()

        if isCurrent folder mark then
            new RunLock(stream, folder, made)
        else
            stream.Dispose()
            take folder made

    /// <summary>Locks a folder, which is made if it is not there, and removes what a killed process has left half-written in it.</summary>
    /// <remarks>Throws TrainingException, which names the process, where another one works on it; IOException or UnauthorizedAccessException
    /// where the folder cannot be written to.</remarks>
    static member Take(folder: RunFolder) =
        let made = not (Directory.Exists folder.Path)
        let held = take (RunFolder.at folder.Path) made

        try
            AtomicFile.RemoveLeftovers folder.Path
            held
        with _ ->
            (held :> IDisposable).Dispose()
            reraise ()

    interface IDisposable with
        /// A folder that was made for nothing goes as well; one that has gone meanwhile needs no lock.
        member _.Dispose() =
            use _ = stream

            try
                File.Delete(fileOf folder)

                if madeFolder && Seq.isEmpty (Directory.EnumerateFileSystemEntries folder.Path) then
                    Directory.Delete folder.Path
            with
            | :? IOException
            | :? UnauthorizedAccessException -> ()
