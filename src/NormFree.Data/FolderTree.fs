namespace NormFree.Data

open System.Collections.Generic

/// The folders of a set and the images in them. Hidden folders are left out. The root's path is empty.
[<Sealed>]
type internal FolderTree(set: FileSet) =
    let files = Dictionary<string, List<int>>()
    let subfolders = Dictionary<string, HashSet<string>>()
    let withImages = HashSet<string>()
    let withEntry = HashSet set.Folders

    /// Enters a folder and those that contain it.
    let rec enter (folder: string) =
        if folder <> "" then
            let above = FileSet.parent folder

            match subfolders.TryGetValue above with
            | true, known -> known.Add folder |> ignore
            | _ ->
                subfolders[above] <- HashSet [ folder ]
                enter above

    let rec markImages folder =
        if withImages.Add folder && folder <> "" then
            markImages (FileSet.parent folder)

    do
        for folder in set.Folders do
            if not (SplitName.isHidden folder) then
                enter folder

        for i in 0 .. set.Files.Length - 1 do
            let path = set.Files[i]

            if not (SplitName.isHidden path) then
                let folder = FileSet.parent path
                enter folder

                match files.TryGetValue folder with
                | true, known -> known.Add i
                | _ -> files[folder] <- List [ i ]

                if ImageKind.isSupported path then
                    markImages folder

    member _.Set = set

    /// Whether there are decodable images in a folder or below it.
    member _.HasImages folder = withImages.Contains folder

    /// Whether a folder has an entry of its own, as empty folders have.
    member _.HasEntry folder = withEntry.Contains folder

    /// The folders in a folder, in ordinal order.
    member _.Subfolders folder =
        match subfolders.TryGetValue folder with
        | true, known -> known |> List.ofSeq |> List.sort
        | _ -> []

    /// The folders in a folder that have images.
    member this.ImageFolders folder = this.Subfolders folder |> List.filter withImages.Contains

    /// The indices of the files in a folder, in ordinal order of their names.
    member _.Files folder =
        match files.TryGetValue folder with
        | true, known -> known.ToArray() |> Array.sortBy (fun i -> set.Files[i])
        | _ -> [||]

    /// The indices of the files in a folder and below it, in ordinal order of their paths.
    member this.FilesBelow folder : int[] =
        let rec below folder =
            seq {
                yield! this.Files folder

                for inner in this.Subfolders folder do
                    yield! below inner
            }

        below folder |> Array.ofSeq |> Array.sortBy (fun i -> set.Files[i])

    /// The indices of the decodable images directly in a folder.
    member this.Images folder = this.Files folder |> Array.filter (fun i -> ImageKind.isSupported set.Files[i])
