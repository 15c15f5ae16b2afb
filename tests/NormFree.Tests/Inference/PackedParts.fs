/// The parts of a packed file, from which tests build damaged files.
module NormFree.Tests.Inference.PackedParts

open System
open System.IO
open System.Text.Json.Nodes
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Tests.Formats

let bytesOf (model: PackedModel) =
    use stream = new MemoryStream()
    PackedFile.Write(stream, model)
    stream.ToArray()

let read (bytes: byte[]) = PackedFile.Read(new MemoryStream(bytes), "damaged")

let tiny = lazy (bytesOf Models.tiny)

let layer<'layer when 'layer :> PackedLayer> key (model: PackedModel) =
    model.Layers |> Seq.pick (fun layer -> if layer.Key = key then Some(layer :?> 'layer) else None)

/// A tensor of a file: its name, type, shape and bytes.
type Part = { Name: string; Type: DType; Shape: int64 list; Bytes: byte[] }

/// The parts of a file, from which tests build damaged files.
type Parts = { Metadata: (string * string) list; Tensors: Part list }

let parts bytes =
    use file = SafetensorsFile.Read(new MemoryStream(bytes: byte[]), "whole")

    { Metadata = [ for KeyValue(key, text) in file.Metadata -> key, text ]
      Tensors =
        [ for entry in file.Tensors ->
              { Name = entry.Name
                Type = entry.DType
                Shape = Seq.toList entry.Shape
                Bytes = file.ReadBytes entry } ] }

let join parts =
    let writer = SafetensorsWriter()

    for key, text in parts.Metadata do
        writer.Describe(key, text) |> ignore

    for part in parts.Tensors do
        writer.Add(part.Name, part.Type, ReadOnlySpan(List.toArray part.Shape), ReadOnlyMemory part.Bytes)
        |> ignore

    use stream = new MemoryStream()
    writer.Write stream
    stream.ToArray()

/// Replaces the metadata of a key; None removes it.
let withText key (text: string option) parts =
    { parts with
        Metadata =
            [ for known, old in parts.Metadata do
                  match known = key, text with
                  | true, Some text -> key, text
                  | true, None -> ()
                  | false, _ -> known, old ] }

let json parts : string = parts.Metadata |> List.find (fun (key, _) -> key = "model") |> snd

/// Changes the model's JSON.
let edited (change: JsonObject -> unit) parts =
    let model = (nonNull (JsonNode.Parse(json parts))).AsObject()
    change model
    withText "model" (Some(model.ToJsonString())) parts

/// The nth layer of a model's JSON: stem, pool, a, b, c (pooled and projected), d (pooled), fc.
let layersOf (model: JsonObject) = (nonNull model["layers"]).AsArray()
let nth (n: int) (model: JsonObject) = (nonNull ((layersOf model)[n])).AsObject()

let set n (field: string) (value: JsonNode | null) = edited (fun model -> (nth n model)[field] <- value)
let number (value: int) : JsonNode | null = JsonValue.Create value
let text (value: string) : JsonNode | null = JsonValue.Create value
let parsed (value: string) = JsonNode.Parse value
let setShortcut n (value: string) = set n "shortcut" (parsed value)

let replaceText (old: string) (replacement: string) parts =
    let model = json parts
    Expect.stringContains model old "what is replaced"
    withText "model" (Some((model: string).Replace(old, replacement))) parts

let tensor name (change: Part -> Part list) parts =
    { parts with
        Tensors = parts.Tensors |> List.collect (fun part -> if part.Name = name then change part else [ part ]) }

/// Replaces the value of a float tensor at an index.
let value name place (value: float32) =
    tensor name (fun part ->
        let bytes = Array.copy part.Bytes
        (BitConverter.GetBytes value).CopyTo(bytes, 4 * place)
        [ { part with Bytes = bytes } ])

let extra name dtype shape bytes parts =
    { parts with
        Tensors = parts.Tensors @ [ { Name = name; Type = dtype; Shape = shape; Bytes = bytes } ] }

/// Tests that each damage to the file of a model is rejected with its message.
let rejections model damages =
    [ for what, change, message in damages do
          test $"rejected: {what}" {
              let found = Mutation.refusal (fun () -> read (bytesOf model |> parts |> change |> join))
              Expect.stringContains found message "message"
              Expect.stringStarts found "damaged, " "the file's name"
          } ]
