namespace NormFree.Runs

open System
open System.Text.Encodings.Web
open System.Text.Json
open System.Text.Json.Nodes
open System.Text.Json.Serialization

/// JSON has no NaN and no infinities: null stands for them, and comes back as NaN.
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

/// <summary>F# values as JSON text: in checkpoints' metadata, run folders and logs.</summary>
/// <remarks>A union case without fields is its name; one with fields is an object of that one name.</remarks>
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

    let private readWith<'T> (options: JsonSerializerOptions) (text: string) : Result<'T, string> =
        try
            match JsonSerializer.Deserialize(text, typeof<'T>, options) with
            | null -> Error "it is null"
            | value -> Ok(value :?> 'T)
        with
        | :? JsonException as e -> Error e.Message
        // What the F# converter throws on a null where a record is due,
        | :? NullReferenceException -> Error "it holds a null where a value is due"
        // and on the bare name of a case that has fields.
        | :? IndexOutOfRangeException -> Error "it holds a case without its fields"

    /// <summary>The value on one line.</summary>
    let write (value: 'T) = JsonSerializer.Serialize<'T>(value, options)

    /// <summary>A choice as the tool and the logs write it: a union case in one word, or in a few with its values.</summary>
    let words (value: 'T) = (write value).Trim('"')

    /// <summary>The value of a text, or why it has none.</summary>
    let read<'T> (text: string) : Result<'T, string> = readWith<'T> options text

    /// <summary>A text with values, as JSON, in those places (names from the outermost object inward) that it lacks, or why it is none.</summary>
    /// <remarks>A place whose object the text lacks, too, is left out.</remarks>
    let withDefaults (defaults: (string list * string) list) (text: string) : Result<string, string> =
        let rec add (node: JsonNode | null) names (value: string) =
            match node, names with
            | :? JsonObject as object, [ name ] ->
                if not (object.ContainsKey name) then
                    object[name] <- JsonNode.Parse value
            | :? JsonObject as object, name :: inner -> add object[name] inner value
            | _ -> ()

        try
            match JsonNode.Parse text with
            | null -> Ok text
            | root ->
                defaults |> List.iter (fun (names, value) -> add root names value)
                Ok(root.ToJsonString options)
        with :? JsonException as e ->
            Error e.Message

    /// <summary>The value on one line, with names such as <c>peak_memory_mb</c>: for results that scripts read; what is not finite is null.</summary>
    let writeSnakeCase (value: 'T) = JsonSerializer.Serialize<'T>(value, snakeCase)

    /// <summary>The value of such a text, or why it has none.</summary>
    let readSnakeCase<'T> (text: string) : Result<'T, string> = readWith<'T> snakeCase text
