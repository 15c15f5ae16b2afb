/// <summary>Text files that name the classes of images which lie in one folder: Tiny ImageNet's <c>val_annotations.txt</c> and Kaggle's
/// <c>LOC_val_solution.csv</c>.</summary>
module internal NormFree.Data.LabelFile

open System
open System.Text

let private tinyImageNet = "val_annotations.txt"
let private kaggle = "LOC_val_solution.csv"

/// Whether a file is one of them.
let isLabelFile (path: string) = [ tinyImageNet; kaggle ] |> List.contains (FileSet.fileName path)

/// A name without folders and extension.
let private stem (path: string) =
    let name = FileSet.fileName path

    match name.LastIndexOf '.' with
    | -1 -> name
    | dot -> name.Substring(0, dot)

/// Lines '<c>val_0.JPEG⇥n01443537⇥0⇥32⇥44⇥62</c>' and '<c>ILSVRC2012_val_00048981,n03995372 85 1 499 272</c>'.
let private pairs (text: string) =
    text.Split([| '\n'; '\r' |], StringSplitOptions.RemoveEmptyEntries)
    |> Seq.choose (fun line ->
        match line.Split([| '\t'; ','; ' ' |], StringSplitOptions.RemoveEmptyEntries) with
        | parts when parts.Length >= 2 && parts[0] <> "ImageId" -> Some(stem parts[0], parts[1])
        | _ -> None)

/// The class by file name without extension, from the label files of the set: the one in the split's folder, or Kaggle's.
let read (set: FileSet) (split: string) : Result<Map<string, string>, DataError> =
    let isFor (path: string) =
        let name = FileSet.fileName path

        (name = tinyImageNet && path = $"{split}/{name}")
        || (name = kaggle && SplitName.roleOf (FileSet.fileName split) = Some SplitName.Validation)

    match set.Files |> Array.tryFindIndex isFor with
    | None -> Ok Map.empty
    | Some i -> set.Read i |> Result.map (Encoding.UTF8.GetString >> pairs >> Map.ofSeq)
