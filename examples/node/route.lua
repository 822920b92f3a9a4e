-- Orthanc: send each complete CT and PET series to rat, unless rat made it.
function OnStableSeries(seriesId, tags, metadata)
   local modality = tags['Modality']
   if modality ~= 'CT' and modality ~= 'PT' then
      return
   end
   local instances = ParseJson(RestApiGet('/series/' .. seriesId .. '/instances'))
   local image = ParseJson(RestApiGet('/instances/' .. instances[1]['ID'] .. '/simplified-tags'))
   for _, equipment in ipairs(image['ContributingEquipmentSequence'] or {}) do
      if equipment['Manufacturer'] == 'ratcli' then
         return
      end
   end
   -- Without waiting, so that other events of Orthanc are not held up.
   RestApiPost('/modalities/rat/store',
      DumpJson({ Resources = { seriesId }, Synchronous = false }))
end
