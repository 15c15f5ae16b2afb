namespace NormFree.Cli

open NormFree.Cli.CommandTable
open NormFree.Cli.CommandTable.Shared

/// <summary>The table of all commands. Help, parsing, completion and the reference page follow it.</summary>
[<RequireQualifiedAccess>]
module internal Commands =

    let completion =
        { command "completion" "Prints a completion script for a shell." [] with
            Operand =
                Some
                    { Name = "SHELL"
                      About = "The shell."
                      Least = 1
                      Many = false
                      Words = [ "bash"; "zsh"; "fish"; "powershell" ] } }

    let reference = command "reference" "Prints the reference of all commands and options as Markdown." []

    let all =
        [ Networks.train
          Networks.eval
          Networks.predict
          Networks.summary
          Networks.networkList
          Networks.networkShow
          Files.dataGet
          Files.dataCheck
          Measurements.benchTrain
          Measurements.benchInfer
          Measurements.benchKernels
          Measurements.report
          Files.import
          Files.export
          Files.verify
          Files.zooList
          Files.zooCard
          Files.zooExport
          Files.zooAdd
          completion
          reference ]

    /// The first words of commands that have two, with one sentence each.
    let groups =
        [ "network", "Lists architectures and prints them as JSON."
          "data", "Downloads and checks data sets."
          "bench", "Measures speed and memory."
          "zoo", "Lists, describes and exports the trained networks that the tool contains." ]

    /// Commands that run if the first word stands alone. The other groups print their help then.
    let defaults = [ "zoo", Files.zooList ]

    /// What may be the first word of a command line.
    let firstWords = [ for command in all -> command.Name.Split(' ')[0] ] |> List.distinct
