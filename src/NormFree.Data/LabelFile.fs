/// <summary>Text files that name the classes of images which lie in one folder: Tiny ImageNet's <c>val_annotations.txt</c> and Kaggle's
/// <c>LOC_val_solution.csv</c>.</summary>
module internal NormFree.Data.LabelFile

open System
open System.IO
open System.Text

let private tinyImageNet = "val_annotations.txt"
let private kaggle = "LOC_val_solution.csv"

/// Whether a file is one of them.
let isLabelFile (path: string) = [ tinyImageNet; kaggle ] |> List.contains (FileSet.fileName path)

/// A name without folders and extension.
let stem (path: string) = string (Path.GetFileNameWithoutExtension path)

/// Lines '<c>val_0.JPEG⇥n01443537⇥0⇥32⇥44⇥62</c>' and '<c>ILSVRC2012_val_00048981,n03995372 85 1 499 272</c>'.
let private pairs (text: string) =
    text.Split([| '\n'; '\r' |], StringSplitOptions.RemoveEmptyEntries)
    |> Seq.choose (fun line ->
        match line.Split([| '\t'; ','; ' ' |], StringSplitOptions.RemoveEmptyEntries) with
        | parts when parts.Length >= 2 && parts[0] <> "ImageId" -> Some(stem parts[0], parts[1])
        | _ -> None)

let private readAt (set: FileSet) i = set.Read i |> Result.map (Encoding.UTF8.GetString >> pairs >> Map.ofSeq)

/// <summary>Reads the class by file name without extension of a split's images, from the label file in the split's folder, or Kaggle's. The result is
/// empty if there is none.</summary>
/// <remarks>Kaggle's file is found and read once for all splits.</remarks>
let reader (tree: FolderTree) : string -> Result<Map<string, string>, DataError> =
    let set = tree.Set

    let kaggleLabels =
        lazy
            (match set.Files |> Array.tryFindIndex (fun path -> FileSet.fileName path = kaggle) with
             | Some i -> readAt set i
             | None -> Ok Map.empty)

    fun split ->
        match tree.Files split |> Array.tryFind (fun i -> FileSet.fileName set.Files[i] = tinyImageNet) with
        | Some i -> readAt set i
        | None when SplitName.roleOf (FileSet.fileName split) = Some SplitName.Validation -> kaggleLabels.Value
        | None -> Ok Map.empty
