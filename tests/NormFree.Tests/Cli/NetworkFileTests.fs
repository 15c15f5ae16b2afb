/// Networks as JSON files: --network and 'network show'.
module NormFree.Tests.Cli.NetworkFileTests

open System.IO
open Expecto
open NormFree.Runs
open NormFree.Spec
open NormFree.Tests.Cli

let private small =
    ReActNet.reactNetSmall { Width = 0.34; Depth = 0.34 } CifarStem |> Net.withClasses 10

let private write name (text: string) =
    let path = Tool.scratch.File name
    File.WriteAllText(path, text)
    path

let private file name net = write name (NetworkJson.write net)

let private changed name change = file name (small |> Net.mapBlocks (Blocks.mapBinary change))

let private summary path = Tool.run [ "summary"; "--network"; path; "--size"; "32" ]

let private train path words =
    Tool.run (
        [ "train"
          "--network"
          path
          "--dataset"
          "synthetic"
          "--limit"
          "40"
          "--test-limit"
          "20"
          "--epochs"
          "1"
          "--batch"
          "20"
          "--threads"
          "1" ]
        @ words
    )

let private text = NetworkJson.write small

/// Of 36 binary layers.
let private deep = NetworkJson.write (ReActNet.reactNetSmall { Width = 0.34; Depth = 3.0 } CifarStem)

let private broken =
    [ "an empty file", "", [ "it is not JSON" ]
      "half a file", text[.. text.Length / 2], [ "it is not JSON"; "network show" ]
      "a list", "[]", [ "it is not a network" ]
      "null", "null", [ "it is null" ]
      "an object of other fields", """{"Name":"x"}""", [ "Missing field"; "Blocks" ]
      "an unknown gradient", text.Replace("ApproxSign", "AproxSign"), [ "AproxSign" ]
      "a text in place of a number", text.Replace("\"Kernel\": 3", "\"Kernel\": \"three\""), [ "it is not a network" ]
      "a null in place of a block", text.Replace("\"Blocks\": [", "\"Blocks\": [ null,"), [ "null" ]
      "an even kernel", text.Replace("\"Kernel\": 3", "\"Kernel\": 4"), [ "the kernel must be odd"; "layer1.0" ]
      "more errors than a screen shows",
      deep.Replace("\"Kernel\": 3", "\"Kernel\": 4"),
      [ "the kernel must be odd"; "in all" ] ]

let private images =
    [ test "VGG-Small needs images of the size that it is made for" {
          let path = file "vgg.json" (VggSmall.vggSmall { Width = 0.0625; Depth = 1.0 } CifarStem)

          Tool.run [ "summary"; "--network"; path; "--size"; "64" ]
          |> Tool.fails 1 [ "a map of 4×4"; "32×8×8"; "the image size that the network is made for" ]
      }

      test "the classifier gets the classes of the data set, with a warning" {
          let trained =
              train (file "classes.json" (Net.withClasses 7 small)) [ "--out"; Tool.scratch.File "classes" ]

          Expect.equal trained.Code 0 trained.Err
          Expect.stringContains trained.Err "7 classes" "the network's"
          Expect.stringContains trained.Err "10" "the data set's"
      }

      test "a gradient of a script is an error of the tool that names the call" {
          let path = changed "custom.json" (fun conv -> { conv with Sign = SignGradient.Custom "cubic" })

          train path [ "--out"; Tool.scratch.File "custom" ]
          |> Tool.fails 1 [ "sign gradient 'cubic'"; "a script that calls Extensions.registerSign" ]
      } ]

let private pipe =
    test "a pipe is an error, not a wait" { summary Tool.pipe.Value |> Tool.fails 1 [ Tool.pipe.Value; "pipe" ] }

let private options =
    [ for words in [ [ "--arch"; "vgg-small" ]; [ "--width"; "0.5" ]; [ "--depth"; "2" ]; [ "--stem"; "cifar" ] ] do
          test $"--network with {words.Head} is an error" {
              Tool.run ([ "summary"; "--network"; file $"options{words.Head}.json" small ] @ words)
              |> Tool.fails 2 [ "--network has its own architecture"; words.Head ]
          }

      test "--shortcut needs shortcuts with convolutions" {
          Tool.run
              [ "summary"
                "--network"
                file "plain.json" (BinaryMlp.binaryMlp Size.Full CifarStem)
                "--shortcut"
                "real" ]
          |> Tool.fails 2 [ "--shortcut"; "no convolutions" ]
      } ]

let private shown =
    [ for name, _ in Architecture.all do
          test $"'network show {name}' prints a network that --network takes" {
              let shown = Tool.run [ "network"; "show"; name ] |> Tool.succeeds
              let path = write $"""{name.Replace(':', '-')}.json""" shown.Out
              let ofFile = summary path |> Tool.succeeds
              let ofTable = Tool.run [ "summary"; "--arch"; name; "--size"; "32"; "--classes"; "10" ] |> Tool.succeeds

              Expect.equal ofFile.Out ofTable.Out "the summary"
          } ]

let private packing =
    [ test "the summary says why a network has no packed file" {
          let grouped = changed "groups.json" (fun conv -> { conv with Groups = 2 })
          Expect.stringContains (summary grouped |> Tool.succeeds).Out "packed size none:" "groups"
          Expect.stringContains (summary grouped |> Tool.succeeds).Out "groups or dilation" "the reason"
          let plain = summary (file "small.json" small) |> Tool.succeeds
          Expect.isFalse (plain.Out.Contains "none:") "a network that can be packed"
      } ]

let tests =
    testList
        "Network files"
        [ for what, text, said in broken do
              test $"{what} is an error" {
                  summary (write $"""{what.Replace(' ', '-')}.json""" text) |> Tool.fails 1 said
              }
          pipe
          yield! images
          yield! options
          yield! shown
          yield! packing ]
