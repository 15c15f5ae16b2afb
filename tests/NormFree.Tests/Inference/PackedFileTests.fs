/// Packed files: what is written is read, and what is not right is refused.
module NormFree.Tests.Inference.PackedFileTests

open System
open System.IO
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats
open NormFree.Tests.Golden
open NormFree.Tests.Training

let private bytesOf (model: PackedModel) =
    use stream = new MemoryStream()
    PackedFile.Write(stream, model)
    stream.ToArray()

let private read (bytes: byte[]) = PackedFile.Read(new MemoryStream(bytes), "damaged")

let private tiny = lazy (bytesOf Models.tiny)

let private layer<'layer when 'layer :> PackedLayer> key (model: PackedModel) =
    model.Layers |> Seq.pick (fun layer -> if layer.Key = key then Some(layer :?> 'layer) else None)

/// A tensor of a file: its name, type, shape and bytes.
type private Part = { Name: string; Type: DType; Shape: int64 list; Bytes: byte[] }

/// A file taken apart, to be put together otherwise.
type private Parts = { Metadata: (string * string) list; Tensors: Part list }

let private parts bytes =
    use file = SafetensorsFile.Read(new MemoryStream(bytes: byte[]), "whole")

    { Metadata = [ for KeyValue(key, text) in file.Metadata -> key, text ]
      Tensors =
        [ for entry in file.Tensors ->
              { Name = entry.Name
                Type = entry.DType
                Shape = Seq.toList entry.Shape
                Bytes = file.ReadBytes entry } ] }

let private join parts =
    let writer = SafetensorsWriter()

    for key, text in parts.Metadata do
        writer.Describe(key, text) |> ignore

    for part in parts.Tensors do
        writer.Add(part.Name, part.Type, ReadOnlySpan(List.toArray part.Shape), ReadOnlyMemory part.Bytes)
        |> ignore

    use stream = new MemoryStream()
    writer.Write stream
    stream.ToArray()

/// A file whose metadata of that key are others; nothing leaves them out.
let private withText key (text: string option) parts =
    { parts with
        Metadata =
            [ for known, old in parts.Metadata do
                  match known = key, text with
                  | true, Some text -> key, text
                  | true, None -> ()
                  | false, _ -> known, old ] }

let private json parts : string = parts.Metadata |> List.find (fun (key, _) -> key = "model") |> snd

/// A file whose model's JSON an action has changed.
let private edited (change: JsonObject -> unit) parts =
    let model = (nonNull (JsonNode.Parse(json parts))).AsObject()
    change model
    withText "model" (Some(model.ToJsonString())) parts

/// The nth layer of a model's JSON: stem, pool, a, b, c (pooled and projected), d (pooled), fc.
let private layersOf (model: JsonObject) = (nonNull model["layers"]).AsArray()
let private nth (n: int) (model: JsonObject) = (nonNull ((layersOf model)[n])).AsObject()

let private set n (field: string) (value: JsonNode | null) = edited (fun model -> (nth n model)[field] <- value)
let private number (value: int) : JsonNode | null = JsonValue.Create value
let private text (value: string) : JsonNode | null = JsonValue.Create value
let private parsed (value: string) = JsonNode.Parse value
let private setShortcut n (value: string) = set n "shortcut" (parsed value)

let private replaceText (old: string) (replacement: string) parts =
    let model = json parts
    Expect.stringContains model old "what is replaced"
    withText "model" (Some((model: string).Replace(old, replacement))) parts

let private tensor name (change: Part -> Part list) parts =
    { parts with
        Tensors = parts.Tensors |> List.collect (fun part -> if part.Name = name then change part else [ part ]) }

/// The nth value of a tensor of floats is another.
let private value name place (value: float32) =
    tensor name (fun part ->
        let bytes = Array.copy part.Bytes
        (BitConverter.GetBytes value).CopyTo(bytes, 4 * place)
        [ { part with Bytes = bytes } ])

let private extra name dtype shape bytes parts =
    { parts with
        Tensors = parts.Tensors @ [ { Name = name; Type = dtype; Shape = shape; Bytes = bytes } ] }

/// What is done to the tiny file, and what the error must say of it.
let private damages =
    [ "no format", withText "format" None, "metadata 'format': it is missing"
      "another format", withText "format" (Some "normfree-checkpoint"), "normfree export --format packed"
      "no version", withText "version" None, "metadata 'version': it is missing"
      "a newer version", withText "version" (Some "3"), "Update NormFree"
      "a version that is none", withText "version" (Some "1.0"), "'1.0', which is no version"
      "version 0", withText "version" (Some "0"), "'0', which is no version"
      "a version past 32 bits", withText "version" (Some "99999999999"), "which is no version"
      "no model", withText "model" None, "metadata 'model': it is missing"
      "a model that is cut", withText "model" (Some """{"architecture":"""), "it is not JSON"
      "a model that is an array", withText "model" (Some "[]"), "an object is expected"
      "a comment", replaceText "{\"arch" "/* */{\"arch", "it is not JSON"
      "something behind the model", replaceText "]}" "]}]", "it is not JSON"
      "half a surrogate", replaceText "by-hand" "\\ud800", "not Unicode"
      "depth", withText "model" (Some(String.replicate 100_000 "[")), "it is not JSON"
      "a field twice", replaceText "\"height\":8" "\"height\":8,\"height\":8", "'height' occurs twice"
      "a field of a layer twice", replaceText "\"in\":3" "\"in\":3,\"in\":3", "layer 0: the field 'in' occurs twice"
      "an unknown field", edited (fun model -> model["depth"] <- number 3), "'depth' is not known"
      "an unknown field of a layer", set 2 "dilation" (number 1), "layer 2: the field 'dilation' is not known"
      "an unknown field of a shortcut", setShortcut 2 """{"kind":"input","kernel":2}""", "'kernel' is not known"
      "a missing field", edited (fun model -> model.Remove "height" |> ignore), "'height' is missing"
      "a missing field of a layer", edited (fun model -> (nth 2 model).Remove "stride" |> ignore), "'stride' is missing"
      "a text for a number", set 2 "in" (text "5"), "'in' is not a whole number"
      "a fraction for a number", set 2 "in" (parsed "5.5"), "'in' is no whole number"
      "a number past 32 bits", set 2 "in" (parsed "4294967301"), "'in' is no whole number"
      "a null", set 2 "key" null, "'key' is not a text"
      "an object for an array", edited (fun model -> model["mean"] <- parsed "{}"), "'mean' is not an array of numbers"
      "a text among numbers", edited (fun model -> model["mean"] <- parsed """[1,"2",3]"""), "array of numbers"
      "a number among texts", edited (fun model -> model["classes"] <- parsed """["a",2,"c"]"""), "array of texts"
      "a number among layers", edited (fun model -> (layersOf model).Add(number 3)), "of objects"
      "an unknown layer", set 2 "kind" (text "ternary"), "no layer of kind 'ternary'"
      "an unknown shortcut", setShortcut 2 """{"kind":"concat"}""", "layer 2, shortcut: there is no shortcut of kind"
      "a shortcut that is a text", set 2 "shortcut" (text "input"), "'shortcut' is not an object"
      "a projection that is a number", replaceText "\"projection\":true" "\"projection\":1", "is not true or false"
      "negative channels", set 2 "in" (number -5), "tensor 'a.threshold': it has shape [5]"
      "giant channels", set 2 "in" (number Int32.MaxValue), "tensor 'a.threshold': it has shape [5]"
      "a giant kernel", set 2 "kernel" (number Int32.MaxValue), "tensor 'a.signs': it has shape"
      "a giant pool", set 1 "kernel" (number Int32.MaxValue), "layer 'pool': its kernel is 2147483647"
      "a stride of 0", set 2 "stride" (number 0), "layer 'a': its kernel is 3 and its stride 0"
      "a giant stride", set 2 "stride" (number Int32.MaxValue), "layer 'a': its kernel is 3 and its stride"
      "a negative padding", set 2 "padding" (number -1), "layer 'a': its padding is -1"
      "a padding as wide as the kernel", set 2 "padding" (number 3), "layer 'a': its padding is 3"
      "a pool without side", set 1 "kernel" (number 0), "layer 'pool': its kernel is 0"
      "images without rows", edited (fun model -> model["height"] <- number 0), "0×8 pixels"
      "giant images", edited (fun model -> model["width"] <- number Int32.MaxValue), "8×2147483647 pixels"
      "images of more values than 32 bits count",
      edited (fun model ->
          model["height"] <- number 65536
          model["width"] <- number 65536),
      "layer 'stem': a map of 3×65536×65536 is too large for it"
      "a map of more values than 32 bits count",
      edited (fun model ->
          (nth 1 model)["kernel"] <- number 16384
          (nth 1 model)["padding"] <- number 16383
          (nth 1 model)["stride"] <- number 1),
      "layer 'pool': a map of 5×8×8 is too large for it"
      "a stride past what 32 bits count",
      edited (fun model ->
          (nth 0 model)["stride"] <- number 65536
          model["height"] <- number 2048
          model["width"] <- number 2048),
      "layer 'stem': a map of 3×2048×2048 is too large for it"
      "a preparation of unknown steps",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"rotate","height":8,"width":8}]"""),
      "preparation 0: there is no step of kind 'rotate'"
      "an unknown field of a step",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"cover","height":8,"width":8,"x":1}]"""),
      "preparation 0: the field 'x' is not known"
      "a step of no size",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"resize","height":0,"width":8}]"""),
      "a step of its preparation is about 0×8 pixels"
      "a preparation that ends with another size",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"resize","height":8,"width":9}]"""),
      "its preparation does not end with a resize or a crop to its size, 8×8"
      "a preparation that ends with any size",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"cover","height":8,"width":8}]"""),
      "its preparation does not end with"
      "images that the layers do not fit",
      edited (fun model -> model["height"] <- number 6),
      "layer 'c': its convolution makes 70×2×2 of a map of 10×3×4, where its shortcut makes 70×1×2"
      "a kernel that no map is large enough for", set 4 "padding" (number 0), "where its shortcut makes"
      "a stride without a pooled shortcut", set 2 "stride" (number 2), "where its shortcut makes 5×4×4"
      "a shortcut that pools nothing",
      setShortcut 5 """{"kind":"pooled-input","kernel":0,"factor":1,"projection":false}""",
      "layer 'd': its shortcut's kernel is 0"
      "a factor past float32",
      setShortcut 5 """{"kind":"pooled-input","kernel":2,"factor":1e99,"projection":false}""",
      "layer 'd': its shortcut's factor is Infinity"
      "a shortcut that lacks its projection",
      setShortcut 4 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":false}""",
      "tensor 'c.projection_signs': no layer has such a tensor"
      "a projection without tensors",
      setShortcut 5 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":true}""",
      "tensor 'd.projection_signs': it is missing"
      "a shortcut that cannot repeat", setShortcut 4 """{"kind":"input"}""", "c.projection_signs"
      "layers in another order",
      edited (fun model ->
          let layers = layersOf model
          let last = layers[6]
          layers.RemoveAt 6
          layers.Insert(5, last)),
      "its last layer is no classifier"
      "no layers", edited (fun model -> model["layers"] <- parsed "[]"), "no layer has such a tensor"
      "a pool behind a binary layer",
      edited (fun model ->
          let layers = layersOf model
          let pool = layers[1]
          layers.RemoveAt 1
          layers.Insert(2, pool)),
      "layer 'pool': it follows a binary layer"
      "a key twice", set 1 "key" (text "a"), "layer 'a': two layers have this key"
      "a layer twice",
      edited (fun model -> (layersOf model).Insert(2, (nth 2 model).DeepClone())),
      "tensor 'a.threshold': two layers have it"
      "an empty key", set 1 "key" (text ""), "layer 1: its key is empty"
      "a missing layer", edited (fun model -> (layersOf model).RemoveAt 2), "no layer has such a tensor"
      "neighbours that do not fit",
      edited (fun model ->
          let layers = layersOf model
          let b = layers[3]
          layers.RemoveAt 3
          layers.Insert(2, b)),
      "layer 'a': it takes 5 channels, and the layer before it gives 10"
      "a class too few", edited (fun model -> model["classes"] <- parsed """["a","b"]"""), "names 2 classes and has 3"
      "a mean too many", edited (fun model -> model["mean"] <- parsed "[1,2,3,4]"), "4 means and 3 deviations"
      "a deviation of 0", edited (fun model -> model["deviation"] <- parsed "[1,0,1]"), "above 0"
      "a mean past float32", edited (fun model -> model["mean"] <- parsed "[1e99,0,1]"), "a mean is not finite"
      "a missing tensor", tensor "a.signs" (fun _ -> []), "tensor 'a.signs': it is missing"
      "a missing last tensor", tensor "fc.bias" (fun _ -> []), "tensor 'fc.bias': it is missing"
      "an unused tensor", extra "a.gain" DType.F32 [ 0L ] [||], "tensor 'a.gain': no layer has such a tensor"
      "a tensor of another type",
      tensor "a.signs" (fun part -> [ { part with Type = DType.I64 } ]),
      "tensor 'a.signs': it has shape [5, 3, 3, 1] of I64, where its layer needs [5, 3, 3, 1] of U64"
      "a tensor of another shape", tensor "a.signs" (fun part -> [ { part with Shape = [ 45L ] } ]), "[45] of U64"
      "a tensor of many sides",
      tensor "a.signs" (fun part -> [ { part with Shape = 45L :: List.replicate 60 1L } ]),
      "[45, 1, 1, 1, 1, 1, 1, 1, …]"
      "a tensor that is not aligned", tensor "padding.0" (fun _ -> []), "which is no multiple of 64"
      "padding that is too long",
      extra "padding.x" DType.U8 [ 64L ] (Array.zeroCreate 64),
      "padding has less than 64 bytes"
      "padding of floats",
      extra "padding.x" DType.F32 [ 1L ] (Array.zeroCreate 4),
      "padding has less than 64 bytes of U8"
      "padding that holds something", extra "padding.x" DType.U8 [ 1L ] [| 1uy |], "padding is not 0"
      "a bit behind the last channel",
      tensor "a.signs" (fun part ->
          let bytes = Array.copy part.Bytes
          bytes[7 * 8] <- bytes[7 * 8] ||| 32uy
          [ { part with Bytes = bytes } ]),
      "layer 'a': word 7 of its signs has bits behind channel 4"
      "a bit behind a projection's last channel",
      tensor "c.projection_signs" (fun part ->
          let bytes = Array.copy part.Bytes
          bytes[15] <- 128uy
          [ { part with Bytes = bytes } ]),
      "layer 'c': word 1 of its projection_signs has bits behind channel 9"
      "a threshold of NaN", value "a.threshold" 3 nanf, "layer 'a': value 3 of its threshold is NaN"
      "an infinite scale", value "a.activation" 0 infinityf, "layer 'a': value 0 of its scale is Infinity"
      "a bias of NaN", value "a.activation" 6 nanf, "layer 'a': value 1 of its bias is NaN"
      "an infinite slope", value "a.activation" 12 -infinityf, "layer 'a': value 2 of its slope is -Infinity"
      "a shift of NaN", value "a.activation" 19 nanf, "layer 'a': value 4 of its shift is NaN"
      "an infinite projection", value "c.projection_scale" 9 infinityf, "layer 'c': value 9 of its projection_scale"
      "a weight of NaN", value "stem.weights" 7 nanf, "layer 'stem': value 7 of its weights is NaN"
      "an infinite bias of the classifier", value "fc.bias" 2 infinityf, "layer 'fc': value 2 of its bias" ]

/// What is done to a file of version 2, and what the error must say of it. Its layers are stem, pool, zero, real, none, fc.
let private damagesOfVersion2 =
    [ "version 1 with a word for a projection",
      withText "version" (Some "1"),
      "layer 2, shortcut: the field 'projection' is not true or false"
      "a projection that is a truth value",
      setShortcut 2 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":true}""",
      "layer 2, shortcut: the field 'projection' is not a text"
      "an unknown projection",
      setShortcut 2 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":"ternary"}""",
      "there is no projection of kind 'ternary'"
      "a projection of another kind",
      setShortcut 3 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":"binary"}""",
      "tensor 'real.projection_signs': it is missing"
      "a real weight of NaN",
      value "real.projection_weights" 7 nanf,
      "layer 'real': value 7 of its projection_weights is NaN" ]

let private exact =
    [ for what, change, message in damagesOfVersion2 do
          test $"refused: {what}" {
              let damaged = bytesOf Models.projected |> parts |> change |> join
              Expect.stringContains (Mutation.refusal (fun () -> read damaged)) message "message"
          }

      for what, change, message in damages do
          test $"refused: {what}" {
              let found = Mutation.refusal (fun () -> read (tiny.Value |> parts |> change |> join))
              Expect.stringContains found message "message"
              Expect.stringStarts found "damaged, " "the file's name"
          } ]

let private writing =
    [ test "a model is read as it was written" {
          let again = read tiny.Value
          Expect.equal (bytesOf again) tiny.Value "the same bytes"
          let before, after = layer<BinaryLayer> "c" Models.tiny, layer<BinaryLayer> "c" again
          Expect.equal after.Signs before.Signs "signs"
          Expect.equal after.Threshold before.Threshold "threshold"
          Expect.equal after.Bias before.Bias "bias"
          Expect.equal (Seq.toList again.Classes) (Seq.toList Models.tiny.Classes) "classes"
          Expect.equal again.Notes["spec"] "{}" "notes"
          Expect.equal (Seq.toList again.Preparation) (Seq.toList Models.tiny.Preparation) "preparation"
      }

      test "a file has the oldest version that has what it needs" {
          for model, version in [ Models.tiny, "1"; Models.documented, "1"; Models.projected, "2" ] do
              let found = (parts (bytesOf model)).Metadata |> List.find (fun (key, _) -> key = "version") |> snd
              Expect.equal found version model.Architecture
      }

      test "every kind of projection is read as it was written" {
          let bytes = bytesOf Models.projected
          let again = read bytes
          Expect.equal (bytesOf again) bytes "the same bytes"

          let projection key =
              match (layer<BinaryLayer> key again).Shortcut with
              | :? PooledInput as pooled -> pooled.Projection
              | other -> failtest $"{other}"

          match projection "zero", projection "real", projection "none" with
          | (:? BinaryProjection as zero), (:? RealProjection as real), null ->
              Expect.isTrue zero.Centered "centered"
              Expect.hasLength zero.Scale 70 "scales"
              Expect.hasLength real.Weights 630 "weights"
          | other -> failtest $"{other}"
      }

      test "thresholds may be infinite" {
          let bytes =
              tiny.Value |> parts |> value "a.threshold" 0 infinityf |> value "a.threshold" 1 -infinityf |> join

          Expect.equal (layer<BinaryLayer> "a" (read bytes)).Threshold[0..1] [| infinityf; -infinityf |] "thresholds"
      }

      test "every tensor begins at a multiple of 64 bytes of the file" {
          use file = SafetensorsFile.Read(new MemoryStream(tiny.Value), "tiny")

          for entry in file.Tensors do
              if not (entry.Name.StartsWith "padding.") then
                  Expect.equal ((file.DataStart + entry.Begin) % 64L) 0L entry.Name
      }

      test "a file on the disk is written and read" {
          use folder = new TempFolder()
          let path = folder.File "tiny.safetensors"
          PackedFile.Write(path, Models.tiny)
          Expect.equal (bytesOf (PackedFile.Read path)) tiny.Value "the same bytes"
      }

      test "a model that is not right is not written" {
          let a = layer<BinaryLayer> "a" Models.tiny

          let wrong inputs filters kernel signs scale =
              let changed =
                  BinaryLayer(
                      "a",
                      inputs,
                      filters,
                      kernel,
                      1,
                      1,
                      a.Threshold,
                      signs,
                      scale,
                      a.Bias,
                      a.Slope,
                      a.Shift,
                      a.Shortcut
                  )

              Models.model
                  8
                  [ for layer in Models.tiny.Layers -> if layer.Key = "a" then (changed :> PackedLayer) else layer ]
                  []

          for model, message in
              [ wrong 5 5 3 a.Signs [| 1.0f |], "its scale has 1 values, not 5"
                wrong 5 5 3 a.Signs[1..] a.Scale, "its signs has 44 words, not 45"
                wrong 0 5 3 a.Signs a.Scale, "it goes from 0 to 5 channels"
                wrong 5 7 3 a.Signs a.Scale, "words, not 63"
                wrong 5 5 (1 <<< 15) a.Signs a.Scale, "weights each, more than" ] do
              let message' = Support.message<ArgumentException, _>(fun () -> bytesOf model)
              Expect.stringStarts message' "layer 'a': " "place"
              Expect.stringContains message' message "message"
      }

      test "a note may not take the place of the format's own texts" {
          let model = Models.model 8 (Seq.toList Models.tiny.Layers) [ "format", "x" ]
          let message = Support.message<ArgumentException, _>(fun () -> bytesOf model)
          Expect.stringContains message "a note is named 'format'" "message"
      } ]

let private mutations =
    [ test "damaged files give one kind of error and bounded memory" {
          let refused = Mutation.survive 11 200L [ tiny.Value ] (fun bytes -> read bytes |> ignore)
          Expect.isGreaterThan refused (Mutation.rounds / 3) "refused"
      }

      test "damaged descriptions give one kind of error and bounded memory" {
          let whole = parts tiny.Value
          let json = Text.Encoding.Latin1.GetBytes(json whole)

          let wrap (bytes: byte[]) = whole |> withText "model" (Some(Text.Encoding.Latin1.GetString bytes)) |> join

          let refused = Mutation.surviveInside wrap 12 200L [ json ] (fun bytes -> read bytes |> ignore)
          Expect.isGreaterThan refused (Mutation.rounds / 3) "refused"
      } ]

/// Lines of 16 bytes: the offset, the bytes, and those of them that are letters.
let private dump (bytes: byte[]) =
    [ for offset, line in Seq.indexed (Array.chunkBySize 16 bytes) do
          let hex =
              line |> Array.map (fun b -> b.ToString "x2") |> Array.chunkBySize 8 |> Array.map (String.concat " ")

          let letters =
              line
              |> Array.map (fun b -> if b >= 32uy && b < 127uy then string (char b) else ".")
              |> String.concat ""

          let columns = String.concat "  " hex
          $"{16 * offset:x8}  {columns}  |{letters}|" ]

let private manual =
    lazy (File.ReadAllText(Path.Combine(GoldenFiles.repository, "docs", "packed-format.md")))

/// The code blocks of the manual, by their language.
let private block language =
    [ for found in Regex.Matches(manual.Value, $"```{language}\n(.*?)```", RegexOptions.Singleline) do
          found.Groups[1].Value.TrimEnd() ]

let private documentation =
    [ test "the manual's bytes are those of the file" {
          let whole = dump (bytesOf Models.documented)
          let shown = (block "hexdump").Head.Split '\n' |> Array.filter (fun line -> line <> "…")
          let all = String.concat "\n" whole
          Expect.isGreaterThan shown.Length 15 "lines"

          for line in shown do
              Expect.contains whole line $"a line of\n{all}"
      }

      test "the manual's header is that of the file" {
          let bytes = bytesOf Models.documented
          let length = int (BitConverter.ToUInt64(bytes, 0))
          let flat (text: string) = (nonNull (JsonNode.Parse text)).ToJsonString()
          let header = (nonNull (JsonNode.Parse(Text.Encoding.UTF8.GetString(bytes, 8, length)))).AsObject()
          // Shown by itself.
          (nonNull header["__metadata__"])["model"] <- text "…"
          Expect.equal (flat (block "json" |> List.item 1)) (header.ToJsonString()) "header"
          Expect.equal (flat (block "json" |> List.item 0)) (flat (json (parts bytes))) "model"
      }

      test "the manual's logits are those of the network" {
          let shown = (block "text") |> List.find _.StartsWith("logits") |> _.Split(' ')
          let logits = ReferencePacked.logits Models.documented 2 2 [| 0.0f; 1.0f; -1.0f; 0.5f |]
          Expect.equal (Array.map float32 shown[1..]) logits $"logits %A{logits}"
      } ]

let tests =
    testList
        "packed files"
        [ testList "writing" writing
          testList "damage" exact
          testList "mutations" mutations
          testList "documentation" documentation ]
