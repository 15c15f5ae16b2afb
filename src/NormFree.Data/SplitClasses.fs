/// <summary>The classes of one split: its folders, or what a label file says.</summary>
module internal NormFree.Data.SplitClasses

open System
open System.Collections.Generic

/// One split: the classes with the indices of their images, and what is left out.
type Split =
    {
        Folder: string
        Classes: Map<string, int[]>
        /// Indices of images of each class in formats that are not decoded.
        Unsupported: Map<string, int[]>
        /// Whether a label file names the classes. It may lack some.
        HasLabelFile: bool
        LeftOut: LeftOut list
    }

let private paths (tree: FolderTree) (indices: int seq) = indices |> Seq.map (fun i -> tree.Set.Files[i])

let private extension (path: string) = (nonNull (IO.Path.GetExtension path)).ToLowerInvariant()

/// What a split has besides images: (images in other formats, other files).
let private leftOut tree (files: int[]) =
    let others =
        paths tree files
        |> Seq.filter (fun path ->
            not (ImageKind.isSupported path || SplitName.isSystemFile path || LabelFile.isLabelFile path))

    let unsupported, others = others |> List.ofSeq |> List.partition ImageKind.isUnsupported

    [ for kind, files in unsupported |> List.groupBy extension do
          yield! LeftOut.create $"images of the format {kind} are not supported" "Convert them to PNG or JPEG" files
      yield! LeftOut.create "the name has no extension of an image" "" others ]

let private outside tree files =
    paths tree files
    |> LeftOut.create "the image is in no class folder" "Move it into the folder of its class"

/// A class may be empty: then its folder has an entry of its own.
let private isClass (tree: FolderTree) folder (unsupported: int[]) =
    tree.HasImages folder || tree.HasEntry folder || unsupported.Length > 0

let private ofFolders (tree: FolderTree) split =
    let root = SplitFolders.classRoot tree split
    let having isKind files = files |> Array.filter (fun i -> isKind tree.Set.Files[i])
    let all = tree.FilesBelow split

    let classes =
        [ for folder in tree.Subfolders root do
              let files = tree.FilesBelow folder
              let unsupported = having ImageKind.isUnsupported files

              if isClass tree folder unsupported then
                  FileSet.fileName folder, having ImageKind.isSupported files, unsupported ]

    let inClasses = classes |> Seq.collect (fun (_, images, _) -> images) |> HashSet
    let stray = all |> having ImageKind.isSupported |> Array.filter (inClasses.Contains >> not)

    { Folder = root
      Classes = Map.ofList [ for name, images, _ in classes -> name, images ]
      Unsupported = Map.ofList [ for name, _, unsupported in classes -> name, unsupported ]
      HasLabelFile = false
      LeftOut = leftOut tree all @ outside tree stray }

/// The images of a split by the classes in a label file.
let private ofLabels (tree: FolderTree) split (labels: Map<string, string>) =
    let all = tree.FilesBelow split
    let labelOf i = labels.TryFind(LabelFile.stem tree.Set.Files[i])
    let images = all |> Array.filter (fun i -> ImageKind.isSupported tree.Set.Files[i])
    let labelled, others = images |> Array.partition (labelOf >> Option.isSome)

    { Folder = split
      Classes = labelled |> Array.groupBy (labelOf >> Option.get) |> Map.ofArray
      Unsupported = Map.empty
      HasLabelFile = true
      LeftOut =
        leftOut tree all
        @ LeftOut.create "the label file does not list the image" "Add it to the label file" (paths tree others) }

/// <summary>The classes of each split.</summary>
let read (tree: FolderTree) (splits: string list) : Result<Split list, DataError list> =
    let labelsOf = LabelFile.reader tree

    splits
    |> List.map (fun split ->
        labelsOf split
        |> Result.map (fun labels -> if labels.IsEmpty then ofFolders tree split else ofLabels tree split labels))
    |> DataError.collect

/// Whether the classes of a test split are those of the training split, at least in part. A folder of images without classes has none of them.
let isLabelled (train: Split) (test: Split) =
    test.Classes |> Map.exists (fun name _ -> train.Classes.ContainsKey name)
    || (test.Classes.Count > 1 && test.Classes |> Map.exists (fun _ images -> images.Length > 0))

let private quotedExtensions (tree: FolderTree) (files: int[]) =
    files |> Seq.map (fun i -> extension tree.Set.Files[i]) |> Seq.distinct |> String.concat ", "

let private empty (tree: FolderTree) place (unsupported: int[]) =
    if unsupported.Length > 0 then
        DataError.create
            place
            $"the class has no images in a supported format: its {unsupported.Length} images are {quotedExtensions tree unsupported}"
            "Convert them to PNG or JPEG"
    else
        let extensions = String.Join(", ", ImageKind.extensions)

        DataError.create
            place
            $"the class has no images ({extensions})"
            "Add images, or remove the folder from both splits"

/// <summary>Errors for classes without images, and for those of which more than half is left out.</summary>
let problems (tree: FolderTree) allowLeftOut split =
    [ for KeyValue(name, images) in split.Classes do
          let place = $"{tree.Set.Place}/{split.Folder}/{name}"
          let unsupported = split.Unsupported.TryFind name |> Option.defaultValue [||]

          if Array.isEmpty images then
              empty tree place unsupported
          elif unsupported.Length > images.Length && not allowLeftOut then
              DataError.create
                  place
                  $"{unsupported.Length} of {unsupported.Length + images.Length} images of the class are {quotedExtensions tree unsupported}, which is not supported"
                  "Convert them to PNG or JPEG, or accept the loss with --allow-left-out" ]
