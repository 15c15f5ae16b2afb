/// Rejection of damaged packed files of version 1.
module NormFree.Tests.Inference.PackedDamageTests

open System
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Tests.Inference.PackedParts

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

let tests = testList "packed files" [ testList "damage" (rejections Models.tiny damages) ]
