/// <summary>Files of class names, one in each line.</summary>
module internal NormFree.Data.ClassNames

open System
open System.Text
open NormFree.Formats

[<Literal>]
let private MaxBytes = 1_048_576L

let private parse path (text: string) =
    let names = text.TrimStart('\uFEFF').Split('\n') |> Array.map _.Trim() |> Array.filter ((<>) "")

    match names |> Array.countBy id |> Array.tryFind (fun (_, count) -> count > 1) with
    | _ when names.Length = 0 ->
        Error(DataError.create path "it has no names" "Write the name of one class in each line")
    | Some(name, _) -> Error(DataError.create path $"it has {Quoted.Name name} twice" "Give every class its own name")
    | None -> Ok names

/// The names in a file.
let read path : Result<string[], DataError> =
    DataError.guard path (fun () -> PlainFile.ReadAllBytes(path, MaxBytes) |> Encoding.UTF8.GetString |> parse path)

/// The data set with these names in place of its own, which have to be as many.
let rename path (names: string[]) (dataset: Dataset) =
    if names.Length = dataset.Classes.Length then
        Ok { dataset with Classes = names }
    else
        let problem = $"it has {names.Length} names, but {dataset.Name} has {dataset.Classes.Length} classes"
        Error [ DataError.create path problem "Write one name for each class in the order of the labels" ]
