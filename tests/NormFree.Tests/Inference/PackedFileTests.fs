/// Packed files: round trips, random damage, and the example of the manual.
module NormFree.Tests.Inference.PackedFileTests

open System
open System.IO
open System.Text.Json.Nodes
open System.Text.RegularExpressions
open Expecto
open NormFree.Formats.Safetensors
open NormFree.Inference.Files
open NormFree.Inference.Model
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Formats
open NormFree.Tests.Inference.PackedParts

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

          for model, words in
              [ wrong 5 5 3 a.Signs [| 1.0f |], "its scale has 1 values; it must have 5"
                wrong 5 5 3 a.Signs[1..] a.Scale, "its signs has 44 words; it must have 45"
                wrong 0 5 3 a.Signs a.Scale, "it maps 0 channels to 5"
                wrong 5 7 3 a.Signs a.Scale, "words; it must have 63"
                wrong 5 5 (1 <<< 15) a.Signs a.Scale, "weights; the limit is 16777216" ] do
              let text = messageOf<ArgumentException, _>(fun () -> bytesOf model)
              Expect.stringStarts text "layer 'a': " "place"
              Expect.stringContains text words "message"
      }

      test "a note may not have a key of the format" {
          let model = Models.model 8 (Seq.toList Models.tiny.Layers) [ "format", "x" ]
          let text = messageOf<ArgumentException, _>(fun () -> bytesOf model)
          Expect.stringContains text "a note has the reserved key 'format'" "message"
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

let private manual = lazy (File.ReadAllText(Path.Combine(repository, "docs", "packed-format.md")))

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
          testList "mutations" mutations
          testList "documentation" documentation ]
