namespace NormFree.Runs

open System
open System.Collections.Generic
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.Json.Serialization
open Microsoft.FSharp.Reflection
open NormFree.Formats

/// <summary>Configurations of runs as JSON files that people write. Comments and trailing commas are allowed.</summary>
[<RequireQualifiedAccess>]
module ConfigurationFile =

    /// Longer files are rejected.
    let private maxBytes = 1L <<< 20

    /// The record's fields and their types; none for values that are no records.
    let private fieldsOf (expected: Type option) : (string * Type) list =
        match expected with
        | Some expected when FSharpType.IsRecord expected ->
            [ for field in FSharpType.GetRecordFields expected -> field.Name, field.PropertyType ]
        | _ -> []

    let private withoutOption (expected: Type) =
        if expected.IsGenericType && expected.GetGenericTypeDefinition() = typedefof<option<_>> then
            expected.GetGenericArguments()[0]
        else
            expected

    /// The lines of all fields by their paths, and the fields that no record has, with the names that it has.
    let private scan (bytes: byte[]) =
        let lines, unknown = Dictionary<string, int>(), ResizeArray<string * string * string list>()

        let mutable reader =
            Utf8JsonReader(
                ReadOnlySpan bytes,
                JsonReaderOptions(CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true)
            )

        let scopes = Stack<string * Type option>()
        let mutable field = "", Some typeof<RunConfiguration>

        while reader.Read() do
            match reader.TokenType with
            | JsonTokenType.StartObject
            | JsonTokenType.StartArray -> scopes.Push field
            | JsonTokenType.EndObject
            | JsonTokenType.EndArray -> scopes.Pop() |> ignore
            | JsonTokenType.PropertyName ->
                let path, record = scopes.Peek()
                let name = reader.GetString() |> string
                let inner = if path = "" then name else $"{path}.{name}"
                let at = int reader.TokenStartIndex
                lines[inner] <- 1 + MemoryExtensions.Count(ReadOnlySpan(bytes, 0, at), byte '\n')
                let known = fieldsOf record

                match List.tryFind (fst >> (=) name) known with
                | Some(_, fieldType) -> field <- inner, Some(withoutOption fieldType)
                | None ->
                    if not known.IsEmpty then
                        unknown.Add(inner, name, List.map fst known)

                    field <- inner, None
            | _ -> ()

        lines, List.ofSeq unknown

    /// The default with every field replaced that the file has. Only records are merged: any other value replaces the default whole.
    let rec private overlay (expected: Type) (basis: JsonNode | null) (given: JsonNode | null) : JsonNode | null =
        match basis, given with
        | (:? JsonObject as basis), (:? JsonObject as given) when FSharpType.IsRecord(withoutOption expected) ->
            let merged = JsonObject()

            for name, fieldType in fieldsOf (Some(withoutOption expected)) do
                let value =
                    if given.ContainsKey name then
                        overlay fieldType basis[name] given[name]
                    else
                        basis[name]

                merged[name] <- if isNull value then null else (nonNull value).DeepClone()

            merged
        | _ -> given

    let private sentences path problems = List.map (fun problem -> $"{path}: {problem}") problems

    let private unknownFields (lines: Dictionary<string, int>) unknown =
        [ for inner: string, name, known in unknown ->
              let where = Quoted.Name inner
              $"line {lines[inner]}: there is no field {where}.{Suggestion.didYouMean known name}" ]

    /// The name of a union case in JSON.
    let private caseName (case: UnionCaseInfo) =
        match case.GetCustomAttributes typeof<JsonPropertyNameAttribute> |> Array.tryHead with
        | Some(:? JsonPropertyNameAttribute as attribute) -> attribute.Name
        | _ -> case.Name

    /// The values that a type takes, in words.
    let private expectation (expected: Type) =
        if expected = typeof<int> || expected = typeof<int64> then
            "a whole number"
        elif expected = typeof<float> then
            "a number"
        elif expected = typeof<bool> then
            "true or false"
        elif expected = typeof<string> then
            "a text"
        elif FSharpType.IsRecord expected then
            "an object"
        elif FSharpType.IsUnion expected && not expected.IsGenericType then
            FSharpType.GetUnionCases expected |> Array.map caseName |> String.concat ", "
        else
            "a list"

    /// The fields whose values have a wrong type, with what they take. The serializer does not name them.
    let rec private wrongFields path (expected: Type) (given: JsonNode | null) : (string * string) list =
        let inner = withoutOption expected

        match given with
        | :? JsonObject as given when FSharpType.IsRecord inner ->
            [ for name, fieldType in fieldsOf (Some inner) do
                  if given.ContainsKey name then
                      yield! wrongFields (if path = "" then name else $"{path}.{name}") fieldType given[name] ]
        | null when inner <> expected -> []
        | null -> [ path, expectation inner ]
        | given ->
            match Json.problemAs expected (given.ToJsonString()) with
            | Some _ -> [ path, expectation inner ]
            | None -> []

    let private wrongValues (lines: Dictionary<string, int>) (given: JsonNode) problem =
        match wrongFields "" typeof<RunConfiguration> given with
        | [] -> [ problem ]
        | fields -> [ for path, values in fields -> $"line {lines[path]}: '{path}' takes {values}." ]

    /// <summary>The configuration of a JSON text over the defaults: fields that the text lacks keep them. Facts and environment of an earlier run
    /// are dropped.</summary>
    /// <returns>The configuration, or every problem with its line.</returns>
    let parse (source: string) (defaults: RunConfiguration) (text: string) : Result<RunConfiguration, string list> =
        try
            let bytes = Encoding.UTF8.GetBytes text

            match JsonText.parseLenient text with
            | :? JsonObject as given ->
                let lines, unknown = scan bytes

                if not unknown.IsEmpty then
                    Error(sentences source (unknownFields lines unknown))
                else
                    let basis = JsonNode.Parse(Json.write defaults)

                    let merged =
                        match overlay typeof<RunConfiguration> basis given with
                        | null -> "null"
                        | merged -> merged.ToJsonString()

                    match Json.read<RunConfiguration> merged with
                    | Error problem -> Error(sentences source (wrongValues lines given problem))
                    | Ok configuration ->
                        match RunConfiguration.problems configuration with
                        | [] -> Ok { configuration with Facts = None; Environment = None; Changes = [] }
                        | problems -> Error(sentences source problems)
            | _ -> Error [ $"{source} is not a JSON object." ]
        with :? JsonException as error ->
            Error [ $"{source}: line {error.LineNumber.GetValueOrDefault() + 1L}: this is not JSON: {error.Message}" ]

    /// The configuration inside a run.json, or the text itself.
    let private inner (text: string) =
        match JsonText.parseLenient text with
        | :? JsonObject as root when root.ContainsKey "Configuration" && root.ContainsKey "Finished" ->
            (nonNull root["Configuration"]).ToJsonString()
        | _ -> text

    /// <summary>Reads a configuration file, or the configuration of a <c>run.json</c>, over the defaults.</summary>
    /// <remarks>Throws InvalidFileException for pipes and files above 1 MiB, IOException if the file cannot be read.</remarks>
    let read (path: string) (defaults: RunConfiguration) : Result<RunConfiguration, string list> =
        let text = Encoding.UTF8.GetString(PlainFile.ReadAllBytes(path, maxBytes)).TrimStart('\uFEFF')

        try
            inner text |> OldNames.renewFields path |> parse path defaults
        with :? JsonException as error ->
            Error [ $"{path}: line {error.LineNumber.GetValueOrDefault() + 1L}: this is not JSON: {error.Message}" ]

    /// <summary>The configuration as an indented JSON text, which <c>parse</c> reads.</summary>
    let write (configuration: RunConfiguration) : string =
        let settings = (nonNull (JsonNode.Parse(Json.write configuration))).AsObject()

        for name in [ "Facts"; "Environment"; "Changes" ] do
            settings.Remove name |> ignore

        settings.ToJsonString Json.indented
