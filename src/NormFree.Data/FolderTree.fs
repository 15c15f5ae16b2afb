namespace NormFree.Data

open System
open System.Collections.Generic

/// The folders of a set and the images in them. Hidden folders are left out. The root's path is empty.
[<Sealed>]
type internal FolderTree(set: FileSet) =
    let files = Dictionary<string, List<int>>()
    let subfolders = Dictionary<string, HashSet<string>>()
    let withImages = HashSet<string>()

    let parent (path: string) = path.Substring(0, max 0 (path.LastIndexOf '/'))

    /// Enters a folder and those that contain it.
    let rec enter (folder: string) =
        if folder <> "" then
            let above = parent folder

            match subfolders.TryGetValue above with
            | true, known -> known.Add folder |> ignore
            | _ ->
                subfolders[above] <- HashSet [ folder ]
                enter above

    let rec markImages folder =
        if withImages.Add folder && folder <> "" then
            markImages (parent folder)

    do
        for folder in set.Folders do
            if not (SplitName.isHidden folder) then
                enter folder

        for i in 0 .. set.Files.Length - 1 do
            let path = set.Files[i]

            if not (SplitName.isHidden path) then
                let folder = parent path
                enter folder

                match files.TryGetValue folder with
                | true, known -> known.Add i
                | _ -> files[folder] <- List [ i ]

                if ImageKind.isSupported path then
                    markImages folder

    member _.Set = set

    /// Whether there are decodable images in a folder or below it.
    member _.HasImages folder = withImages.Contains folder

    /// The folders in a folder, in ordinal order.
    member _.Subfolders folder =
        match subfolders.TryGetValue folder with
        | true, known -> known |> Seq.sortWith (fun a b -> String.CompareOrdinal(a, b)) |> List.ofSeq
        | _ -> []

    /// The folders in a folder that have images.
    member this.ImageFolders folder = this.Subfolders folder |> List.filter withImages.Contains

    /// The indices of the files in a folder, in ordinal order of their names.
    member _.Files folder =
        match files.TryGetValue folder with
        | true, known ->
            known.ToArray() |> Array.sortWith (fun i j -> String.CompareOrdinal(set.Files[i], set.Files[j]))
        | _ -> [||]

    /// The indices of the files in a folder and below it, in ordinal order of their paths.
    member this.FilesBelow folder : int[] =
        let rec below folder =
            seq {
                yield! this.Files folder

                for inner in this.Subfolders folder do
                    yield! below inner
            }

        below folder
        |> Array.ofSeq
        |> Array.sortWith (fun i j -> String.CompareOrdinal(set.Files[i], set.Files[j]))

    /// The indices of the decodable images directly in a folder.
    member this.Images folder = this.Files folder |> Array.filter (fun i -> ImageKind.isSupported set.Files[i])
