namespace NormFree.Reporting

open System
open System.Globalization
open System.Text.Json
open NormFree.Data
open NormFree.Runs

/// Settings of run.json in words: union cases with values are JSON there, such as <c>{"Agc":0.02}</c>, and so are the steps of an augmentation.
[<RequireQualifiedAccess>]
module internal Wording =

    let private number (value: float) = value.ToString("0.####", CultureInfo.InvariantCulture)

    /// The values of a union case: one value, a list, or an object of named ones.
    let private values (element: JsonElement) =
        match element.ValueKind with
        | JsonValueKind.Array -> [ for item in element.EnumerateArray() -> item ]
        | JsonValueKind.Object -> [ for field in element.EnumerateObject() -> field.Value ]
        | _ -> [ element ]

    let private (|Number|_|) (element: JsonElement) =
        if element.ValueKind = JsonValueKind.Number then
            Some(element.GetDouble())
        else
            None

    let private plain (element: JsonElement) =
        match element with
        | Number value -> number value
        | _ -> element.ToString()

    let private case name (values: JsonElement list) =
        match name, values with
        | "Agc", [ Number lambda ] -> $"AGC, λ = {number lambda}"
        | "Sgd", [ Number momentum ] -> $"SGD, momentum {number momentum}"
        | "Step", [ Number every; Number factor ] -> $"times {number factor} every {number every} epochs"
        | "LabelSmoothing", [ Number epsilon ] -> $"label smoothing, ε = {number epsilon}"
        | "Distillation", [ teacher ] -> $"distillation from {teacher}"
        | name, [] -> name
        | name, values -> name + " " + (values |> List.map plain |> String.concat ", ")

    let rec private words (element: JsonElement) =
        match element.ValueKind with
        | JsonValueKind.Array -> element.EnumerateArray() |> Seq.map words |> String.concat "; "
        | JsonValueKind.Object ->
            [ for field in element.EnumerateObject() -> case field.Name (values field.Value) ]
            |> String.concat "; "
        | JsonValueKind.String -> case (element.ToString()) []
        | _ -> plain element

    let private ofJson (text: string) =
        try
            use document = JsonDocument.Parse text
            words document.RootElement
        with
        | :? JsonException
        // A string has half of a surrogate pair.
        | :? InvalidOperationException -> text

    /// A setting in words. Text that is not a JSON list or object is returned as it is.
    let ofSetting (text: string) =
        if text.StartsWith '[' then
            match Json.read<Augment list> text with
            | Ok steps -> steps |> List.map Augment.describe |> String.concat "; "
            | Error _ -> ofJson text
        elif text.StartsWith '{' then
            ofJson text
        else
            text
