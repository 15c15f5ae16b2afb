namespace NormFree.Runs

open System.IO

/// <summary>Reads the telemetry of a run.</summary>
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Telemetry =

    /// <summary>All telemetry in a run folder; empty if nothing was sampled.</summary>
    /// <remarks>Throws InvalidFileException if a file is damaged, IOException if it cannot be read.</remarks>
    let read (folder: RunFolder) : Telemetry =
        let files = TelemetryFiles.all folder

        { Layers =
            [ for _, _, ofChannels, path in files do
                  if not ofChannels then
                      yield! ColumnFile.read<LayerSample> path ]
          Channels =
            [ for _, _, ofChannels, path in files do
                  if ofChannels then
                      yield! ColumnFile.read<ChannelSample> path ]
          Transition =
            (let path = TelemetryFiles.transition folder 2
             if File.Exists path then ColumnFile.read<TransitionSample> path else []) }
