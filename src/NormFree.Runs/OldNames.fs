namespace NormFree.Runs

open System.Text.Json
open System.Text.Json.Nodes

/// <summary>Names that earlier versions wrote. This version still reads them, with a warning; the next one will not.</summary>
/// <remarks>All aliases of options, option values and JSON fields stand here.</remarks>
[<RequireQualifiedAccess>]
module OldNames =

    /// <summary>JSON fields of checkpoints, <c>run.json</c> and <c>log.jsonl</c>: the old name and the new one.</summary>
    let fields =
        [ "Position", "TrainingCursor"
          "SoFar", "Progress"
          "Division", "BatchPartition"
          "Troubles", "Issues"
          "Preparation", "Preprocessing"
          "Start", "Initialisation"
          "Balance", "SignCentering"
          "BinaryStart", "BinaryInit" ]

    /// <summary>Options of the command line.</summary>
    let options = [ "--start", "--initialisation" ]

    /// <summary>Other spellings of options, which are read without a warning.</summary>
    let spellings =
        [ "--optimiser", "--optimizer"
          "--normalization", "--normalisation"
          "--initialization", "--initialisation"
          "--binarize", "--binarise" ]

    /// <summary>Values of options: the option, the old value and the new one.</summary>
    let values = [ "--dataset", "drawn", "synthetic" ]

    /// <summary>Receives each warning. The tool prints them; a library stays silent.</summary>
    let mutable warn: string -> unit = ignore

    let private renewed = dict fields

    /// Fields that earlier versions did not have, and that are no options.
    let private added =
        [ "HeldOut", "Freeze", "0"
          "SignCentering", "ShortcutWeights", "\"Published\""
          "SignCentering", "StreamCentering", "\"Published\"" ]

    let rec private renew (node: JsonNode | null) : string list =
        match node with
        | :? JsonObject as fields ->
            [ for name, value in [ for field in fields -> field.Key, field.Value ] do
                  yield! renew value

                  match renewed.TryGetValue name with
                  | true, today ->
                      fields.Remove name |> ignore
                      fields.Add(today, value)
                      name
                  | _ -> () ]
        | :? JsonArray as items -> items |> Seq.collect renew |> List.ofSeq
        | _ -> []

    /// <summary>The JSON text of a checkpoint or <c>run.json</c> with the fields that later versions added, or the error.</summary>
    let addFields (text: string) : Result<string, string> = Json.withDefaults added text

    /// <summary>The JSON text with today's field names. <c>source</c> names the file in the warning. Text that is not JSON is returned as it is.</summary>
    let renewFields (source: string) (text: string) : string =
        try
            let root = JsonText.parseLenient text

            match List.distinct (renew root) with
            | [] -> text
            | old ->
                let names = String.concat ", " [ for name in old -> $"{name} (now {renewed[name]})" ]
                warn $"{source} uses old field names: {names}. The next version of NormFree will not read them."
                (nonNull root).ToJsonString()
        with
        | :? JsonException
        // An object has a field by its old and its new name.
        | :? System.ArgumentException -> text
