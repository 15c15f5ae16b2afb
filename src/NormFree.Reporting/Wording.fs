namespace NormFree.Reporting

open System
open System.Globalization
open System.Text.Json

/// Settings of run.json in words: union cases with values are JSON there, such as <c>[{"PadCrop":4},"Flip"]</c>.
[<RequireQualifiedAccess>]
module internal Wording =

    let private number (value: float) = value.ToString("0.####", CultureInfo.InvariantCulture)
    let private percent (share: float) = number (100.0 * share)

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
        | "PadCrop", [ Number padding ] -> $"pad by {number padding} pixels and crop at random"
        | "ReflectPadCrop", [ Number padding ] -> $"pad by {number padding} mirrored pixels and crop at random"
        | "Mixup", [ Number alpha ] -> $"mixup, α = {number alpha}"
        | "CutMix", [ Number alpha ] -> $"CutMix, α = {number alpha}"
        | "RandAugment", [ Number count; Number magnitude ] ->
            $"RandAugment, {number count} operations of magnitude {number magnitude}"
        | "Flip", [] -> "flip left to right at random"
        | "RandomResizedCrop", [ Number low; Number high; Number side ] ->
            $"crop {percent low} to {percent high} %% of the area at random and resize it to {number side} pixels"
        | "ResizeShort", [ Number side ] -> $"resize the shorter side to {number side} pixels"
        | "CentreCrop", [ Number side ] -> $"crop the central {number side} pixels"
        | "Resize", [ Number side ] -> $"resize to {number side} pixels"
        | "Lighting", Number deviation :: _ -> $"add PCA lighting noise with standard deviation {number deviation}"
        | "CustomAugment", [ name ] -> $"own augmentation {name}"
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

    /// A setting in words. Text that is not a JSON list or object is returned as it is.
    let ofSetting (text: string) =
        if text.StartsWith '[' || text.StartsWith '{' then
            try
                use document = JsonDocument.Parse text
                words document.RootElement
            with
            | :? JsonException
            // A string has half of a surrogate pair.
            | :? InvalidOperationException -> text
        else
            text
