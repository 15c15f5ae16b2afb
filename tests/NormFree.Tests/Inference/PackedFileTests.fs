/// Packed files: round trips, and rejection of damaged and hostile files.
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

/// The parts of a file, from which tests build damaged files.
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

/// Replaces the metadata of a key; None removes it.
let private withText key (text: string option) parts =
    { parts with
        Metadata =
            [ for known, old in parts.Metadata do
                  match known = key, text with
                  | true, Some text -> key, text
                  | true, None -> ()
                  | false, _ -> known, old ] }

let private json parts : string = parts.Metadata |> List.find (fun (key, _) -> key = "model") |> snd

/// Changes the model's JSON.
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

/// Replaces the value of a float tensor at an index.
let private value name place (value: float32) =
    tensor name (fun part ->
        let bytes = Array.copy part.Bytes
        (BitConverter.GetBytes value).CopyTo(bytes, 4 * place)
        [ { part with Bytes = bytes } ])

let private extra name dtype shape bytes parts =
    { parts with
        Tensors = parts.Tensors @ [ { Name = name; Type = dtype; Shape = shape; Bytes = bytes } ] }

/// Damage to the tiny file, and what the error must say.
let private damages =
    [ "no format", withText "format" None, "metadata 'format': it is missing"
      "another format", withText "format" (Some "normfree-checkpoint"), "normfree export --format packed"
      "no version", withText "version" None, "metadata 'version': it is missing"
      "a newer version", withText "version" (Some "3"), "Update NormFree"
      "an invalid version", withText "version" (Some "1.0"), "metadata 'version': '1.0' is not a version"
      "version 0", withText "version" (Some "0"), "metadata 'version': '0' is not a version"
      "a version past 32 bits", withText "version" (Some "99999999999"), "'99999999999' is not a version"
      "no model", withText "model" None, "metadata 'model': it is missing"
      "a model that is cut",
      withText "model" (Some """{"architecture":"""),
      "at '$.architecture': it does not match the format"
      "a model that is an array", withText "model" (Some "[]"), "could not be converted to ModelJson"
      "a comment", replaceText "{\"arch" "/* */{\"arch", "'/' is an invalid start of a value"
      "something after the model", replaceText "]}" "]}]", "invalid after a single JSON value"
      "half a surrogate", replaceText "by-hand" "\\ud800", "at '$.architecture': it does not match the format"
      "depth", withText "model" (Some(String.replicate 100_000 "[")), "could not be converted to ModelJson"
      "a field twice",
      replaceText "\"height\":8" "\"height\":8,\"height\":8",
      "at '$.height': it does not match the format (Duplicate property 'height'"
      "a field of a layer twice",
      replaceText "\"in\":3" "\"in\":3,\"in\":3",
      "at '$.layers[0].in': it does not match the format (Duplicate property 'in'"
      "an unknown field",
      edited (fun model -> model["depth"] <- number 3),
      "at '$.depth': it does not match the format (The JSON property 'depth' could not be mapped"
      "an unknown field of a layer",
      set 2 "dilation" (number 1),
      "at '$.layers[2].dilation': it does not match the format (The JSON property 'dilation' could not be mapped"
      "an unknown field of a shortcut",
      setShortcut 2 """{"kind":"input","kernel":2}""",
      "at '$.layers[2].shortcut.kernel': it does not match the format (The JSON property 'kernel' could not be mapped"
      "a missing field",
      edited (fun model -> model.Remove "height" |> ignore),
      "at '$': it does not match the format (JSON deserialization for type 'ModelJson' was missing required properties including: 'height')"
      "a missing field of a layer",
      edited (fun model -> (nth 2 model).Remove "stride" |> ignore),
      "at '$.layers[2]': it does not match the format (JSON deserialization for type 'BinaryJson' was missing required properties including: 'stride')"
      "a text for a number", set 2 "in" (text "5"), "at '$.layers[2].in': it does not match the format"
      "a fraction for a number", set 2 "in" (parsed "5.5"), "at '$.layers[2].in': it does not match the format"
      "a number past 32 bits", set 2 "in" (parsed "4294967301"), "at '$.layers[2].in': it does not match the format"
      "a null", set 2 "key" null, "at '$.layers[2].key': it does not match the format"
      "a null among classes",
      edited (fun model -> model["classes"] <- parsed """["a",null,"c"]"""),
      "metadata 'model': it does not match the format (A model, class, layer or preprocessing step is null)"
      "a null among layers", edited (fun model -> (layersOf model).Add null), "preprocessing step is null)"
      "a null among steps", edited (fun model -> model["preparation"] <- parsed "[null]"), "preprocessing step is null)"
      "a model that is null", withText "model" (Some "null"), "preprocessing step is null)"
      "a layer without kind",
      edited (fun model -> (nth 2 model).Remove "kind" |> ignore),
      "at '$.layers[2]': it does not match the format"
      "a kind twice",
      replaceText "{\"kind\":\"max-pool\"" "{\"kind\":\"binary\",\"kind\":\"max-pool\"",
      "at '$.layers[1].kind': it does not match the format"
      "a kind in capitals", set 2 "kind" (text "Binary"), "type discriminator id 'Binary'"
      "a field in capitals", replaceText "\"height\":8" "\"Height\":8", "at '$.Height': it does not match the format"
      "a reference", set 2 "$ref" (text "1"), "at '$.layers[2].$ref': it does not match the format"
      "an unknown field with a terminal escape",
      set 2 "\u001b[2J" (number 1),
      "(The JSON property '\\u001b[2J' could not be mapped"
      "an object for an array",
      edited (fun model -> model["mean"] <- parsed "{}"),
      "at '$.mean': it does not match the format"
      "a text among numbers",
      edited (fun model -> model["mean"] <- parsed """[1,"2",3]"""),
      "at '$.mean[1]': it does not match the format"
      "a number among texts",
      edited (fun model -> model["classes"] <- parsed """["a",2,"c"]"""),
      "at '$.classes[1]': it does not match the format"
      "a number among layers",
      edited (fun model -> (layersOf model).Add(number 3)),
      "at '$.layers[7]': it does not match the format"
      "an unknown layer",
      set 2 "kind" (text "ternary"),
      "at '$.layers[2]': it does not match the format (Read unrecognized type discriminator id 'ternary')"
      "an unknown shortcut",
      setShortcut 2 """{"kind":"concat"}""",
      "at '$.layers[2].shortcut': it does not match the format (Read unrecognized type discriminator id 'concat')"
      "a shortcut that is a text",
      set 2 "shortcut" (text "input"),
      "at '$.layers[2].shortcut': it does not match the format"
      "a projection that is a number",
      replaceText "\"projection\":true" "\"projection\":1",
      "at '$.layers[4].shortcut.projection': it does not match the format"
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
      "images of more values than a map may have",
      edited (fun model ->
          model["height"] <- number 65536
          model["width"] <- number 65536),
      "layer 'stem': a map of 3×65536×65536 is too large for it"
      "a padded map of more values than a map may have",
      edited (fun model ->
          (nth 1 model)["kernel"] <- number 16384
          (nth 1 model)["padding"] <- number 16383
          (nth 1 model)["stride"] <- number 1),
      "layer 'pool': a map of 5×8×8 is too large for it"
      "a stride whose windows have more values than a map may have",
      edited (fun model ->
          (nth 0 model)["stride"] <- number 65536
          model["height"] <- number 2048
          model["width"] <- number 2048),
      "layer 'stem': a map of 3×2048×2048 is too large for it"
      "a preparation of unknown steps",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"rotate","height":8,"width":8}]"""),
      "at '$.preparation[0].kind': unknown kind 'rotate'"
      "an unknown field of a step",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"cover","height":8,"width":8,"x":1}]"""),
      "at '$.preparation[0].x': it does not match the format"
      "a step of no size",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"resize","height":0,"width":8}]"""),
      "a preprocessing step has the size 0×8"
      "a pool that would take minutes",
      edited (fun model ->
          model["height"] <- number 2048
          model["width"] <- number 2048
          model["preparation"] <- parsed """[{"kind":"resize","height":2048,"width":2048}]"""
          (nth 1 model)["kernel"] <- number 2047
          (nth 1 model)["padding"] <- number 1023),
      "pooled values for an image; the limit is 1e10. Use a smaller network or smaller images; the section Limits"
      "thousands of layers",
      edited (fun model ->
          for i in 1..4090 do
              let pool = (nth 1 model).DeepClone()
              pool["key"] <- text $"pool{i}"
              (layersOf model).Insert(1, pool)),
      "model: it has 4097 layers; the limit is 4096. Use a smaller network"
      "a preparation of many steps",
      edited (fun model ->
          let steps = String.replicate 200 """{"kind":"resize","height":4000,"width":4000},"""
          model["preparation"] <- parsed $"[{steps}{{\"kind\":\"resize\",\"height\":8,\"width\":8}}]"),
      "model: it has 201 preprocessing steps; the limit is 16. Use a smaller network"
      "a preparation that ends with another size",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"resize","height":8,"width":9}]"""),
      "its preprocessing does not end with a resize or a crop to 8×8 pixels"
      "a preparation that ends with any size",
      edited (fun model -> model["preparation"] <- parsed """[{"kind":"cover","height":8,"width":8}]"""),
      "its preprocessing does not end with"
      "images that the layers do not fit",
      edited (fun model -> model["height"] <- number 6),
      "layer 'c': its convolution maps 10×3×4 to 70×2×2, but its shortcut maps it to 70×1×2"
      "a kernel that no map is large enough for", set 4 "padding" (number 0), "but its shortcut maps it to"
      "a stride without a pooled shortcut", set 2 "stride" (number 2), "but its shortcut maps it to 5×4×4"
      "a shortcut that pools nothing",
      setShortcut 5 """{"kind":"pooled-input","kernel":0,"factor":1,"projection":false}""",
      "layer 'd': its shortcut's kernel is 0"
      "a factor past float32",
      setShortcut 5 """{"kind":"pooled-input","kernel":2,"factor":1e99,"projection":false}""",
      "layer 'd': its shortcut's factor is Infinity"
      "a shortcut that lacks its projection",
      setShortcut 4 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":false}""",
      "tensor 'c.projection_signs': no layer uses it"
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
      "its last layer is not a classifier"
      "no layers", edited (fun model -> model["layers"] <- parsed "[]"), "no layer uses it"
      "version 1 with a pool after a binary layer",
      edited (fun model ->
          let layers = layersOf model
          let pool = layers[1]
          layers.RemoveAt 1
          layers.Insert(2, pool)),
      "metadata 'version': it is version 1, but the model needs version 2"
      "a key twice", set 1 "key" (text "a"), "layer 'a': another layer has the same key"
      "a layer twice",
      edited (fun model -> (layersOf model).Insert(2, (nth 2 model).DeepClone())),
      "tensor 'a.threshold': two layers use it"
      "an empty key", set 1 "key" (text ""), "layer 1: its key is empty"
      "a missing layer", edited (fun model -> (layersOf model).RemoveAt 2), "no layer uses it"
      "neighbours that do not fit",
      edited (fun model ->
          let layers = layersOf model
          let b = layers[3]
          layers.RemoveAt 3
          layers.Insert(2, b)),
      "layer 'a': it takes 5 channels, but the layer before it produces 10"
      "a class too few", edited (fun model -> model["classes"] <- parsed """["a","b"]"""), "names 2 classes but has 3"
      "a mean too many", edited (fun model -> model["mean"] <- parsed "[1,2,3,4]"), "4 means and 3 deviations"
      "a deviation of 0", edited (fun model -> model["deviation"] <- parsed "[1,0,1]"), "above 0"
      "a mean past float32", edited (fun model -> model["mean"] <- parsed "[1e99,0,1]"), "a mean is not finite"
      "a missing tensor", tensor "a.signs" (fun _ -> []), "tensor 'a.signs': it is missing"
      "a missing last tensor", tensor "fc.bias" (fun _ -> []), "tensor 'fc.bias': it is missing"
      "an unused tensor", extra "a.gain" DType.F32 [ 0L ] [||], "tensor 'a.gain': no layer uses it"
      "a tensor of another type",
      tensor "a.signs" (fun part -> [ { part with Type = DType.I64 } ]),
      "tensor 'a.signs': it has shape [5, 3, 3, 1] and type I64; its layer requires [5, 3, 3, 1] and U64"
      "a tensor of another shape", tensor "a.signs" (fun part -> [ { part with Shape = [ 45L ] } ]), "[45] and type U64"
      "a tensor of many sides",
      tensor "a.signs" (fun part -> [ { part with Shape = 45L :: List.replicate 60 1L } ]),
      "[45, 1, 1, 1, 1, 1, 1, 1, …]"
      "a tensor that is not aligned", tensor "padding.0" (fun _ -> []), "which is not a multiple of 64"
      "padding that is too long",
      extra "padding.x" DType.U8 [ 64L ] (Array.zeroCreate 64),
      "padding must have type U8 and less than 64 bytes"
      "padding of floats",
      extra "padding.x" DType.F32 [ 1L ] (Array.zeroCreate 4),
      "padding must have type U8 and less than 64 bytes"
      "padding that holds something", extra "padding.x" DType.U8 [ 1L ] [| 1uy |], "padding must be 0"
      "a bit after the last channel",
      tensor "a.signs" (fun part ->
          let bytes = Array.copy part.Bytes
          bytes[7 * 8] <- bytes[7 * 8] ||| 32uy
          [ { part with Bytes = bytes } ]),
      "layer 'a': word 7 of its signs has bits after channel 4"
      "a bit after a projection's last channel",
      tensor "c.projection_signs" (fun part ->
          let bytes = Array.copy part.Bytes
          bytes[15] <- 128uy
          [ { part with Bytes = bytes } ]),
      "layer 'c': word 1 of its projection_signs has bits after channel 9"
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
    [ "version 1 with a kind of version 2",
      withText "version" (Some "1"),
      "metadata 'version': it is version 1, but the model needs version 2"
      "a projection of another kind",
      setShortcut 3 """{"kind":"pooled-zero-mean","kernel":2,"factor":0.25}""",
      "tensor 'real.projection_signs': it is missing"
      "a field that the kind does not have",
      setShortcut 2 """{"kind":"pooled-zero-mean","kernel":2,"factor":0.25,"projection":true}""",
      "it does not match the format"
      "a real weight of NaN",
      value "real.projection_weights" 7 nanf,
      "layer 'real': value 7 of its projection_weights is NaN" ]

/// Damage to a file of version 2 with every new kind of layer: stem, depth, act, a, sum, dense, pool, down, real, flat, mlp, clip, fc.
let private damagesOfGeneral =
    [ "version 1 with layers of version 2",
      withText "version" (Some "1"),
      "metadata 'version': it is version 1, but the model needs version 2"
      "groups of null", set 1 "groups" null, "at '$.layers[1].groups': it does not match the format"
      "groups that are a text", set 1 "groups" (text "6"), "at '$.layers[1].groups': it does not match the format"
      "a fraction of groups", set 1 "groups" (parsed "1.5"), "at '$.layers[1].groups': it does not match the format"
      "no groups", set 1 "groups" (number 0), "tensor 'depth.weights': it has shape [6, 1, 3, 3]"
      "negative groups", set 1 "groups" (number Int32.MinValue), "tensor 'depth.weights': it has shape [6, 1, 3, 3]"
      "giant groups", set 1 "groups" (number Int32.MaxValue), "its layer requires [6, 0, 3, 3] and F32"
      "groups that do not divide the channels",
      set 1 "groups" (number 4),
      "layer 'depth': it maps 6 channels to 6 in 4 groups; both must be multiples of the groups"
      "no groups where there are some",
      edited (fun model -> (nth 1 model).Remove "groups" |> ignore),
      "its layer requires [6, 6, 3, 3] and F32"
      "a bound of null", set 2 "low" null, "at '$.layers[2].low': it does not match the format"
      "a bound that is a text", set 2 "low" (text "0"), "at '$.layers[2].low': it does not match the format"
      "a low bound past float32", set 2 "low" (parsed "1e99"), "layer 'act': it clamps to [Infinity, Infinity]"
      "a high bound past float32", set 11 "high" (parsed "-1e99"), "layer 'clip': it clamps to [-1, -Infinity]"
      "a low bound above the high one", set 11 "low" (number 2), "layer 'clip': it clamps to [2, 1]"
      "other channels of an affine layer", set 2 "channels" (number 7), "tensor 'act.affine': it has shape [3, 6]"
      "negative channels of an affine layer", set 2 "channels" (number -1), "its layer requires [3, -1]"
      "an affine layer without tensor", tensor "act.affine" (fun _ -> []), "tensor 'act.affine': it is missing"
      "a scale of NaN", value "act.affine" 5 nanf, "layer 'act': value 5 of its scale is NaN"
      "an infinite bias", value "act.affine" 6 infinityf, "layer 'act': value 0 of its bias is Infinity"
      "a slope of NaN", value "act.affine" 17 nanf, "layer 'act': value 5 of its slope is NaN"
      "an average pool without side", set 6 "kernel" (number 0), "layer 'pool': its kernel is 0; it must be from 1"
      "a negative average pool", set 6 "kernel" (number -1), "layer 'pool': its kernel is -1"
      "an average pool larger than the map",
      set 6 "kernel" (number 9),
      "layer 'pool': its kernel is larger than the padded map of 11×8×8"
      "an unknown field of a flattening", set 9 "kernel" (number 1), "The JSON property 'kernel' could not be mapped"
      "a sum with no layer", set 4 "from" (text "nothing"), "layer 'sum': it adds the input of layer 'nothing', but no"
      "a sum with itself", set 4 "from" (text "sum"), "layer 'sum': it adds the input of layer 'sum', but no layer"
      "a sum with a later layer", set 4 "from" (text "dense"), "but no layer before it has that key"
      "a sum of null", set 4 "from" null, "at '$.layers[4].from': it does not match the format"
      "a sum with channels that do not repeat",
      edited (fun model ->
          (nth 8 model)["shortcut"] <- parsed """{"kind":"input"}"""
          (nth 8 model)["from"] <- text "a"),
      "tensor 'real.projection_weights': no layer uses it"
      "a sum with a map of another size",
      set 7 "from" (text "stem"),
      "layer 'down': word 0 of its projection_signs has bits after channel 2"
      "other channels of a sum's shortcut",
      set 7 "in" (number 5),
      "layer 'down': it adds 5 channels to 11, but the layers before it produce 6 and 11"
      "other channels of a repeated shortcut",
      set 4 "in" (number 3),
      "layer 'sum': it adds 3 channels to 6, but the layers before it produce 6 and 6"
      "other channels of a sum",
      set 7 "out" (number 10),
      "tensor 'down.projection_signs': it has shape [11, 1] and type U64; its layer requires [10, 1]"
      "other channels of a sum with a real projection",
      set 8 "from" (text "depth"),
      "layer 'real': its projection_weights has 121 values; it must have 66"
      "a sum without shortcut", setShortcut 4 """{"kind":"none"}""", "layer 'sum': its shortcut is not the input"
      "a concatenated sum", setShortcut 4 """{"kind":"concatenated"}""", "layer 'sum': its shortcut is not the input"
      "a sum whose shortcut is smaller",
      setShortcut 7 """{"kind":"pooled-input","kernel":3,"factor":0.25,"projection":true}""",
      "layer 'down': its input is 11×4×4, but its shortcut maps 6×8×8 to 11×2×2"
      "a sum that pools nothing",
      setShortcut 7 """{"kind":"pooled-input","kernel":0,"factor":0.25,"projection":true}""",
      "layer 'down': its shortcut's kernel is 0"
      "a sum with a factor past float32",
      setShortcut 7 """{"kind":"pooled-input","kernel":2,"factor":1e99,"projection":true}""",
      "layer 'down': its shortcut's factor is Infinity"
      "a sum whose shortcut is larger",
      setShortcut 4 """{"kind":"pooled-input","kernel":2,"factor":0.25,"projection":false}""",
      "layer 'sum': its input is 6×8×8, but its shortcut maps 6×8×8 to 6×4×4"
      "an infinite projection of a sum",
      value "down.projection_scale" 3 infinityf,
      "layer 'down': value 3 of its projection_scale is Infinity"
      "a sum first",
      edited (fun model ->
          let sum =
              parsed """{"kind":"add","key":"first","from":"stem","in":3,"out":3,"shortcut":{"kind":"input"}}"""

          (layersOf model).Insert(0, sum)),
      "layer 'first': it adds the input of layer 'stem', but no layer before it has that key"
      "a concatenation with a stride",
      set 5 "stride" (number 2),
      "layer 'dense': its convolution maps 6×8×8 to 11×4×4, but its shortcut maps it to"
      "a concatenation that is none",
      setShortcut 5 """{"kind":"none"}""",
      "layer 'down': its projection_signs has 11 words; it must have 5"
      "a field of a shortcut that is none",
      setShortcut 3 """{"kind":"none","kernel":2}""",
      "The JSON property 'kernel' could not be mapped"
      "no flattening", edited (fun model -> (layersOf model).RemoveAt 9), "layer 'mlp': it takes 176 channels, but" ]

let private exact =
    [ for what, change, message in damagesOfGeneral do
          test $"rejected: {what}" {
              let damaged = bytesOf Models.general |> parts |> change |> join
              Expect.stringContains (Mutation.refusal (fun () -> read damaged)) message "message"
          }

      for what, change, message in damagesOfVersion2 do
          test $"rejected: {what}" {
              let damaged = bytesOf Models.projected |> parts |> change |> join
              Expect.stringContains (Mutation.refusal (fun () -> read damaged)) message "message"
          }

      for what, change, message in damages do
          test $"rejected: {what}" {
              let found = Mutation.refusal (fun () -> read (tiny.Value |> parts |> change |> join))
              Expect.stringContains found message "message"
              Expect.stringStarts found "damaged, " "the file's name"
          } ]

let private writing =
    [ test "a model is read as it was written" {
          let again = read tiny.Value
          Expect.equal (bytesOf again) tiny.Value "the same bytes"
          let before, after = layer<PackedBinaryLayer> "c" Models.tiny, layer<PackedBinaryLayer> "c" again
          Expect.equal after.Signs before.Signs "signs"
          Expect.equal after.Threshold before.Threshold "threshold"
          Expect.equal after.Bias before.Bias "bias"
          Expect.equal (Seq.toList again.Classes) (Seq.toList Models.tiny.Classes) "classes"
          Expect.equal again.Notes["spec"] "{}" "notes"
          Expect.equal (Seq.toList again.Preprocessing) (Seq.toList Models.tiny.Preprocessing) "preparation"
      }

      test "a file has the oldest version that supports its model" {
          for model, version in [ Models.tiny, "1"; Models.documented, "1"; Models.projected, "2"; Models.general, "2" ] do
              let found = (parts (bytesOf model)).Metadata |> List.find (fun (key, _) -> key = "version") |> snd
              Expect.equal found version model.Architecture
      }

      test "every kind of layer of version 2 is read as it was written" {
          let bytes = bytesOf Models.general
          let again = read bytes
          Expect.equal (bytesOf again) bytes "the same bytes"
          let image = RandomModels.images 1UL 1 Models.general
          let logits model = ReferencePacked.logits model 8 8 image
          Expect.equal (logits again) (logits Models.general) "logits"

          match layer<PackedAffine> "act" again, layer<PackedAffine> "clip" again with
          | act, clip ->
              Expect.equal [ act.Low; act.High; clip.Low; clip.High ] [ 0.0f; infinityf; -1.0f; 1.0f ] "bounds"

          Expect.equal (layer<PackedConvolution> "depth" again).Groups 6 "groups"
          Expect.equal (layer<PackedConvolution> "stem" again).Groups 1 "groups of the stem"
          Expect.isNull (layer<PackedAdd> "sum" again).Pooled "pooled"
          Expect.equal (layer<PackedAdd> "down" again).From "depth" "from"
      }

      test "fields with their default values are omitted" {
          let model = json (parts (bytesOf Models.general))

          for part in
              [ "{\"kind\":\"affine\",\"key\":\"act\",\"channels\":6,\"low\":0}"
                "{\"kind\":\"affine\",\"key\":\"clip\",\"channels\":7,\"low\":-1,\"high\":1}"
                "\"padding\":1,\"groups\":6}"
                "{\"kind\":\"flatten\",\"key\":\"flat\"}"
                "{\"kind\":\"average-pool\",\"key\":\"pool\",\"kernel\":2}"
                "{\"kind\":\"add\",\"key\":\"sum\",\"from\":\"a\",\"in\":6,\"out\":6,\"shortcut\":{\"kind\":\"input\"}}" ] do
              Expect.stringContains model part "model"

          Expect.stringContains (json (parts tiny.Value)) "\"padding\":1}" "no groups"
      }

      test "every kind of projection is read as it was written" {
          let bytes = bytesOf Models.projected
          let again = read bytes
          Expect.equal (bytesOf again) bytes "the same bytes"

          let projection key =
              match (layer<PackedBinaryLayer> key again).Shortcut with
              | :? AveragePoolShortcut as pooled -> pooled.Projection
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

          Expect.equal
              (layer<PackedBinaryLayer> "a" (read bytes)).Threshold[0..1]
              [| infinityf; -infinityf |]
              "thresholds"
      }

      test "every tensor begins at a multiple of 64 bytes of the file" {
          use file = SafetensorsFile.Read(new MemoryStream(tiny.Value), "tiny")

          for entry in file.Tensors do
              if not (entry.Name.StartsWith "padding.") then
                  Expect.equal ((file.DataStart + entry.Begin) % 64L) 0L entry.Name
      }

      test "a file on disk is written and read" {
          use folder = new TempFolder()
          let path = folder.File "tiny.safetensors"
          PackedFile.Write(path, Models.tiny)
          Expect.equal (bytesOf (PackedFile.Read path)) tiny.Value "the same bytes"
      }

      test "an invalid model is not written" {
          let a = layer<PackedBinaryLayer> "a" Models.tiny

          let wrong inputs filters kernel signs scale =
              let changed =
                  PackedBinaryLayer(
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
              [ wrong 5 5 3 a.Signs [| 1.0f |], "its scale has 1 values; it must have 5"
                wrong 5 5 3 a.Signs[1..] a.Scale, "its signs has 44 words; it must have 45"
                wrong 0 5 3 a.Signs a.Scale, "it maps 0 channels to 5"
                wrong 5 7 3 a.Signs a.Scale, "words; it must have 63"
                wrong 5 5 (1 <<< 15) a.Signs a.Scale, "weights; the limit is 16777216" ] do
              let message' = Support.message<ArgumentException, _>(fun () -> bytesOf model)
              Expect.stringStarts message' "layer 'a': " "place"
              Expect.stringContains message' message "message"
      }

      test "a note may not have a key of the format" {
          let model = Models.model 8 (Seq.toList Models.tiny.Layers) [ "format", "x" ]
          let message = Support.message<ArgumentException, _>(fun () -> bytesOf model)
          Expect.stringContains message "a note has the reserved key 'format'" "message"
      } ]

let private mutations =
    [ test "damaged files give one kind of error and bounded memory" {
          let refused =
              Mutation.survive 11 200L [ tiny.Value; bytesOf Models.general ] (fun bytes -> read bytes |> ignore)

          Expect.isGreaterThan refused (Mutation.rounds / 3) "refused"
      }

      for name, model in [ "every kind of version 1", Models.tiny; "every kind of version 2", Models.general ] do
          test $"damaged descriptions give one kind of error and bounded memory: {name}" {
              let whole = parts (bytesOf model)
              let json = Text.Encoding.Latin1.GetBytes(json whole)

              let wrap (bytes: byte[]) = whole |> withText "model" (Some(Text.Encoding.Latin1.GetString bytes)) |> join

              let refused = Mutation.surviveInside wrap 12 200L [ json ] (fun bytes -> read bytes |> ignore)
              Expect.isGreaterThan refused (Mutation.rounds / 3) "refused"
          } ]

/// A hexdump: lines of offset, 16 bytes, and the bytes as ASCII.
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

/// The code blocks of the manual in a language.
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
          // The manual shows it separately.
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
