/// Tables, sentences and progress on narrow terminals.
module NormFree.Tests.Cli.NarrowTerminalTests

open System
open Expecto
open NormFree.Cli

let tests =
    let columns = [ "layer"; "output"; "real params"; "1×1-bit MACs" ]

    let rows =
        [ [ "layer1.0.binary_conv"; "64×32×32"; "123.4 k"; "1.23 G" ]; [ "total"; ""; "-"; "9.99 G" ] ]

    testList
        "narrow terminals"
        [ test "a table that fits is left alone" {
              Expect.equal (TextTable.headings 100 columns rows) (Some columns) "names"
          }

          test "names of columns are broken between words before a table is given up" {
              match TextTable.headings 55 columns rows with
              | Some [ "layer"; "output"; "real\nparams"; "1×1-bit\nMACs" ] -> ()
              | other -> failtest $"%A{other}"

              Expect.isNone (TextTable.headings 40 columns rows) "too narrow"
          }

          test "a table that does not fit has a block of lines for each row" {
              Expect.equal
                  (TextTable.blocks 40 columns rows)
                  [ "layer1.0.binary_conv"
                    "  output 64×32×32   real params 123.4 k"
                    "  1×1-bit MACs 1.23 G"
                    "total"
                    "  1×1-bit MACs 9.99 G" ]
                  "lines"
          }

          for width in [ 20; 40; 60 ] do
              test $"no line of a table is wider than {width} columns" {
                  for line in TextTable.blocks width columns rows do
                      Expect.isLessThanOrEqual line.Length width line
              }

          test "sentences are broken between words, and values stay in their column" {
              let text = "memory                0.416 MiB; as floats 1.45 MiB (3.5 times)"

              Expect.equal
                  (Output.fit (Some 44) text)
                  "memory                0.416 MiB; as floats\n                      1.45 MiB (3.5 times)"
                  "hanging"

              Expect.equal (Output.fit None text) text "a file"
          }

          test "a command at the end of a message stays on one line" {
              let command = "normfree train --resume --out runs/reactnet-small-bn-free"

              let lines =
                  (Output.fit (Some 60) $"normfree: interrupted. All steps are kept; resume with: {command}").Split '\n'

              Expect.equal (Array.last lines) command "whole"
          }

          test "progress fits 60 columns without a bar, and 80 with one" {
              let report: NormFree.Training.StepReport =
                  { Stage = "activations+weights"
                    Epoch = 100
                    Epochs = 256
                    Images = 1_281_167
                    Total = 1_281_167
                    Loss = 12.345
                    Top1 = 1.0
                    ImagesPerSecond = 12345.0
                    Remaining = TimeSpan.FromHours 123.0 }

              Expect.isLessThanOrEqual (NormFree.Training.EventText.shortMeasures report).Length 60 "columns"
              Expect.isLessThanOrEqual (Show.barWidth 60) 0 "no bar"
              Expect.isGreaterThan (Show.barWidth 80) 0 "a bar"
              Expect.equal (Show.barWidth 200) 24 "not wider"
          } ]
