namespace NormFree.Runs

open System.IO

/// <summary>Absolute paths of a run, with which its files are found again from another working directory or after a move.</summary>
type RunPlaces =
    {
        /// The working directory, from which relative paths of the configuration start.
        WorkingFolder: string
        /// The run folder.
        Folder: string
    }

[<RequireQualifiedAccess>]
module RunPlaces =

    /// <summary>The places of a run in this folder that is described now.</summary>
    let now (folder: string) = { WorkingFolder = Directory.GetCurrentDirectory(); Folder = Path.GetFullPath folder }

    let private exists path = File.Exists path || Directory.Exists path

    /// <summary>Where a file or folder of a run's configuration is now: at its path; where that was absolutely; or beside the run folder, which may
    /// have moved with it. The path itself if it is at none of them.</summary>
    let locate (folder: string) (places: RunPlaces option) (path: string) : string =
        match places with
        | _ when exists path -> path
        | None -> path
        | Some places ->
            let before = Path.GetFullPath(path, places.WorkingFolder)
            let beside = Path.GetFullPath(Path.GetRelativePath(places.Folder, before), Path.GetFullPath folder)
            [ before; beside ] |> List.tryFind exists |> Option.defaultValue path
