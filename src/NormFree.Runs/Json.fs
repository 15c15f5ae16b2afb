namespace NormFree.Runs

open System
open System.Text.Encodings.Web
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.Json.Serialization

/// JSON has no NaN and no infinities: they are written as null, and null is read as NaN.
[<Sealed>]
type private FiniteOrNull() =
    inherit JsonConverter<float>()

    override _.HandleNull = true

    override _.Read(reader, _, _) = if reader.TokenType = JsonTokenType.Null then nan else reader.GetDouble()

    override _.Write(writer, value, _) =
        if Double.IsFinite value then
            writer.WriteNumberValue value
        else
            writer.WriteNullValue()

/// <summary>F# values as JSON text, for checkpoint metadata, run folders and logs.</summary>
/// <remarks>A union case without fields is its name; one with fields is an object with that name as its only key.</remarks>
[<RequireQualifiedAccess>]
module Json =

    let private optionsWith (naming: JsonNamingPolicy | null) =
        let unions =
            JsonUnionEncoding.ExternalTag
            ||| JsonUnionEncoding.NamedFields
            ||| JsonUnionEncoding.UnwrapFieldlessTags
            ||| JsonUnionEncoding.UnwrapSingleFieldCases
            ||| JsonUnionEncoding.UnwrapOption

        let options =
            JsonSerializerOptions(
                PropertyNamingPolicy = naming,
                Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
                NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals
            )

        options.Converters.Add(JsonFSharpConverter unions)
        options

    let private options = optionsWith null

    let private snakeCase =
        let options = optionsWith JsonNamingPolicy.SnakeCaseLower
        options.Converters.Insert(0, FiniteOrNull())
        options

    /// <summary>Options of texts that people read: indented, and with as few escapes as possible.</summary>
    let internal indented =
        JsonSerializerOptions(WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)

    let private readAs (expected: Type) (options: JsonSerializerOptions) (text: string) : Result<obj, string> =
        try
            // The F# converter counts fields, so that one that occurs twice hides one that is missing.
            JsonText.parse text |> ignore

            match JsonSerializer.Deserialize(text, expected, options) with
            | null -> Error "it is null"
            | value -> Ok value
        with
        | :? JsonException as e -> Error e.Message
        // The F# converter throws this on a null in place of a record,
        | :? NullReferenceException -> Error "it has a null in place of a value"
        // and this on the bare name of a case that has fields.
        | :? IndexOutOfRangeException -> Error "it has a case without its fields"

    let private readWith<'T> (options: JsonSerializerOptions) (text: string) : Result<'T, string> =
        readAs typeof<'T> options text |> Result.map (fun value -> value :?> 'T)

    /// <summary>The value on one line.</summary>
    let write (value: 'T) = JsonSerializer.Serialize<'T>(value, options)

    /// <summary>A union case as the tool and the logs write it: its name, with its values if it has any.</summary>
    let name (value: 'T) = (write value).Trim('"')

    /// Why a JSON text has no value of this type, if it has none.
    let internal problemAs (expected: Type) (text: string) : string option =
        match readAs expected options text with
        | Ok _ -> None
        | Error problem -> Some problem

    /// <summary>The value of a JSON text, or the error.</summary>
    let read<'T> (text: string) : Result<'T, string> = readWith<'T> options text

    /// <summary>The JSON text with the fields that later versions added, or the error. Each default is (marker, name, value as JSON): an object with
    /// the field <c>marker</c> gets the field <c>name</c> if it lacks it.</summary>
    /// <remarks>Options need no default: a missing one is None. Comments are dropped.</remarks>
    let withDefaults (defaults: (string * string * string) list) (text: string) : Result<string, string> =
        let rec complete (node: JsonNode | null) =
            match node with
            | :? JsonObject as fields ->
                for value in [ for field in fields -> field.Value ] do
                    complete value

                for marker, name, value in defaults do
                    if fields.ContainsKey marker && not (fields.ContainsKey name) then
                        fields.Add(name, JsonNode.Parse value)
            | :? JsonArray as items -> Seq.iter complete items
            | _ -> ()

        try
            match JsonText.parseLenient text with
            | null -> Ok text
            | root ->
                complete root
                Ok(root.ToJsonString options)
        with :? JsonException as e ->
            Error e.Message

    /// <summary>The value on one line with names such as <c>peak_memory_mb</c>, for results that scripts read. NaN and infinity become null.</summary>
    let writeSnakeCase (value: 'T) = JsonSerializer.Serialize<'T>(value, snakeCase)

    /// <summary>The value of such a text, or the error.</summary>
    let readSnakeCase<'T> (text: string) : Result<'T, string> = readWith<'T> snakeCase text
