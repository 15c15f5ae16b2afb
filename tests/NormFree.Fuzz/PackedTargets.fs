/// Files of packed networks.
module NormFree.Fuzz.PackedTargets

open System
open System.Collections.Generic
open System.IO
open NormFree.Formats.Safetensors
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Networks
open NormFree.Runs
open NormFree.Spec
open NormFree.Fuzz.Contract
open NormFree.Fuzz.TensorParts

let private maxImageSide = 32

/// Runs a small network on one image.
let private run (model: PackedModel) =
    if model.Height <= maxImageSide && model.Width <= maxImageSide && model.Layers.Count <= 16 then
        use network = PackedNetwork.From(model, PackedOptions(Threads = 1))
        let image = Array.init (model.Mean.Count * model.Height * model.Width) (fun i -> float32 (i % 7) - 3.0f)
        network.Run(ReadOnlySpan image, Span(Array.zeroCreate<float32> model.Classes.Count))

/// A packed file that is read is the same after it is written and read again.
let readPacked bytes =
    let model = PackedFile.Read(new MemoryStream(bytes: byte[]), "input")
    let once = written (fun stream -> PackedFile.Write(stream, model))

    let twice =
        written (fun stream -> PackedFile.Write(stream, PackedFile.Read(new MemoryStream(once), "written")))

    if once <> twice then
        fail "the packed file changes when it is written again"

    run model

/// Tensors of one line each: name, type and sizes. The data fills them, repeatedly if it is too short.
let private table (lines: string) (data: byte[]) =
    let part (line: string) =
        match line.Split ' ' |> List.ofArray with
        | name :: kind :: sizes ->
            let shape =
                sizes
                |> List.choose (fun size ->
                    match Int64.TryParse size with
                    | true, n -> Some n
                    | _ -> None)

            let elements = shape |> List.fold (fun product size -> product * float size) 1.0

            match Option.ofNullable (DTypes.Parse kind) with
            | Some kind when elements >= 0.0 && elements < 65536.0 && data.Length > 0 ->
                let bytes = Array.init (int elements * kind.Bytes()) (fun i -> data[i % data.Length])
                Some { Name = name; Type = kind; Shape = List.toArray shape; Bytes = bytes }
            | _ -> None
        | _ -> None

    lines.Split '\n' |> Seq.truncate 64 |> Seq.choose part |> List.ofSeq

/// A packed file whose parts are valid by themselves: version, JSON of the model, table of tensors and data, separated by zero bytes.
let readPackedParts (bytes: byte[]) =
    let at count =
        bytes
        |> Seq.indexed
        |> Seq.filter (fun (_, value) -> value = 0uy)
        |> Seq.map fst
        |> Seq.tryItem count

    match at 0, at 1, at 2 with
    | Some first, Some second, Some third ->
        let text low high = Text.Encoding.UTF8.GetString(bytes, low, high - low)
        let writer = SafetensorsWriter().Describe("format", "normfree.packed").Describe("version", text 0 first)

        try
            writer.Describe("model", text (first + 1) second) |> ignore

            for part in table (text (second + 1) third) (Array.skip (third + 1) bytes) do
                writer.Add(part.Name, part.Type, ReadOnlySpan part.Shape, ReadOnlyMemory part.Bytes) |> ignore

            written writer.Write |> readPacked
        with :? ArgumentException ->
            ()
    | _ -> ()
