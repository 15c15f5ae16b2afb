namespace NormFree.Runs

open System
open System.Text
open System.Text.Json
open System.Text.Json.Nodes

/// Reads JSON texts as trees that can be used without further exceptions.
[<RequireQualifiedAccess>]
module internal JsonText =

    /// .NET would throw InvalidOperationException as soon as such a string is used.
    let private requireUnicode (options: JsonDocumentOptions) (text: string) =
        let bytes = Encoding.UTF8.GetBytes text

        let mutable reader =
            Utf8JsonReader(
                ReadOnlySpan bytes,
                JsonReaderOptions(
                    CommentHandling = options.CommentHandling,
                    AllowTrailingCommas = options.AllowTrailingCommas
                )
            )

        while reader.Read() do
            if reader.ValueIsEscaped then
                try
                    reader.GetString() |> ignore
                with :? InvalidOperationException ->
                    let line = MemoryExtensions.Count(ReadOnlySpan(bytes, 0, int reader.TokenStartIndex), byte '\n')
                    raise (JsonException("A string has half of a surrogate pair.", null, int64 line, 0L))

    let private parseWith (options: JsonDocumentOptions) (text: string) : JsonNode | null =
        // First: the search for fields that occur twice decodes their names.
        requireUnicode options text
        JsonNode.Parse(text, documentOptions = options)

    /// The tree of a text. Throws JsonException if it is not JSON, if an object has a field twice, or if a string is not valid Unicode.
    let parse (text: string) = parseWith (JsonDocumentOptions(AllowDuplicateProperties = false)) text

    /// The same for texts that people write: comments and trailing commas are allowed.
    let parseLenient (text: string) =
        parseWith
            (JsonDocumentOptions(
                CommentHandling = JsonCommentHandling.Skip,
                AllowTrailingCommas = true,
                AllowDuplicateProperties = false
            ))
            text
