namespace NormFree.Runs

open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open NormFree.Formats
open NormFree.Spec

/// <summary>Networks as JSON files that people and programs write: the spec that checkpoints hold. Comments and trailing commas are allowed.</summary>
[<RequireQualifiedAccess>]
module NetworkJson =

    /// Longer files are rejected.
    let private maxBytes = 1L <<< 22

    let private remedy = "Start from 'normfree network show NAME' and change it"

    let private withoutComments path (text: string) =
        try
            match JsonText.parseLenient text with
            | null -> raise (InvalidFileException(path, "the text", "it is null", remedy))
            | node -> node.ToJsonString()
        with :? JsonException as e ->
            raise (InvalidFileException(path, "the text", $"it is not JSON: {e.Message.TrimEnd '.'}", remedy))

    /// <summary>The network of a file.</summary>
    /// <remarks>Throws InvalidFileException with all errors if it is not a valid network, IOException if it cannot be read.</remarks>
    let read (path: string) : NetSpec =
        let text = Encoding.UTF8.GetString(PlainFile.ReadAllBytes(path, maxBytes)).TrimStart '\uFEFF'

        match text |> withoutComments path |> Json.read<NetSpec> with
        | Error problem -> raise (InvalidFileException(path, "the text", $"it is not a network: {problem}", remedy))
        | Ok net ->
            match Validation.validate net with
            | Ok net -> net
            | Error errors ->
                let all = errors |> List.map string |> Array.ofList |> Printable.List |> String.concat "; "
                raise (InvalidFileException(path, "the network", all, "Correct these places"))

    /// <summary>A network as an indented text that <c>read</c> accepts.</summary>
    let write (net: NetSpec) : string =
        match JsonNode.Parse(Json.write net) with
        | null -> "null"
        | node -> node.ToJsonString Json.indented
