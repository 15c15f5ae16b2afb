/// Rejection of damaged packed files of version 2.
module NormFree.Tests.Inference.PackedDamageVersion2Tests

open System
open Expecto
open NormFree.Tests.Inference.PackedParts

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

let tests =
    testList
        "packed files"
        [ testList "damage" (rejections Models.general damagesOfGeneral @ rejections Models.projected damagesOfVersion2) ]
